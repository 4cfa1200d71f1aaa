"""The sampler of a DataLoader against the share it must yield."""

import pytest
from torch.utils.data import DataLoader, DistributedSampler

from medimagenet.loading import Draw, EpochSampler
from medimagenet.loading.epochs import process_place


def test_yields_the_share_of_a_rank_with_the_epoch():
    sampler = EpochSampler(range(7), batch_size=2, rank=1, ranks=2)
    sampler.set_epoch(5)
    assert list(sampler) == [Draw(5, k) for k in (2, 3, 6, 0)]
    assert len(sampler) == 4


def test_validation_is_never_padded():
    drawn = [list(EpochSampler(range(5), rank=r, ranks=3, wrap=False)) for r in range(3)]
    assert [[draw.number for draw in draws] for draws in drawn] == [[0, 3], [1, 4], [2]]


def test_resumes_where_it_is_told():
    sampler = EpochSampler(range(6), batch_size=2)
    sampler.first_batch = 2
    assert [draw.number for draw in sampler] == [4, 5]
    assert [draw.number for draw in sampler] == [0, 1, 2, 3, 4, 5]


def test_lightning_takes_it_for_a_distributed_sampler():
    assert isinstance(EpochSampler(range(3)), DistributedSampler)


def test_a_data_loader_asks_the_dataset_for_draws():
    class Echo:
        def __len__(self):
            return 5

        def __getitem__(self, draw):
            return draw.epoch * 100 + draw.number

    sampler = EpochSampler(Echo(), batch_size=2)
    sampler.set_epoch(3)
    batches = [batch.tolist() for batch in DataLoader(Echo(), 2, sampler=sampler)]
    assert batches == [[300, 301], [302, 303], [304, 300]]


def test_the_place_among_processes():
    assert process_place(None, None) == (0, 1)
    assert process_place(1, 3) == (1, 3)
    with pytest.raises(ValueError, match="rank=None, ranks=2"):
        process_place(None, 2)
