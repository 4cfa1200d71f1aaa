"""PatchLoader against PatchDataset: the same patches, from any number of threads and ranks, after any resume."""

import asyncio
import hashlib
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from medimagenet.errors import StoreDamagedError, StoreError
from medimagenet.loading import EpochSampler, PatchDataset, PatchLoader
from medimagenet.loading.loader import usable_cores

torch.set_num_threads(1)
OPTIONS = {"patch_size": (9, 8, 7), "patches_per_epoch": 11, "foreground": 0.5, "seed": 3}


def digest(batch):
    stamp = hashlib.sha256(repr((batch["sample_id"], batch["series"], batch["patch_start"].tolist())).encode())
    for name in ("image", "label", "pt"):
        stamp.update(np.ascontiguousarray(torch.as_tensor(batch[name]).numpy()).tobytes())
    return stamp.hexdigest()


def digests(loader):
    return [digest(batch) for batch in loader]


@pytest.fixture(scope="module")
def expected(small_store):
    """Hashes of the batches of two epochs, from a PatchDataset in a plain DataLoader."""
    dataset = PatchDataset(small_store, **OPTIONS)
    sampler = EpochSampler(dataset, batch_size=2)
    epochs = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        epochs.append(digests(DataLoader(dataset, 2, sampler=sampler)))
    return epochs


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_the_same_batches_as_the_dataset(small_store, expected, workers):
    with PatchLoader(small_store, **OPTIONS, workers=workers) as loader:
        assert len(loader) == 6
        assert [digests(loader), digests(loader)] == expected
        assert loader.epoch == 2


def test_batches_are_whole_and_carry_where_they_are_from(small_store):
    dataset = PatchDataset(small_store, **OPTIONS)
    with PatchLoader(small_store, **OPTIONS, batch_size=3, workers=2) as loader:
        batch = next(iter(loader))
    assert {name: (value.shape, value.dtype) for name, value in batch.items() if isinstance(value, torch.Tensor)} == {
        "image": ((3, 1, 9, 8, 7), torch.float32),
        "label": ((3, 2, 9, 8, 7), torch.uint8),
        "pt": ((3, 1, 9, 8, 7), torch.float32),
        "affine": ((3, 4, 4), torch.float64),
        "patch_start": ((3, 3), torch.int64),
    }
    assert torch.equal(batch["affine"], torch.stack([dataset[k]["image"].affine for k in range(3)]))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_deal_the_batches_of_one_process(small_store, expected, ranks):
    dealt = []
    for rank in range(ranks):
        with PatchLoader(small_store, **OPTIONS, workers=1, rank=rank, ranks=ranks) as loader:
            dealt.append(digests(loader))
    together = [each for step in zip(*dealt, strict=True) for each in step]
    assert together[:5] == expected[0][:5]
    assert len(together) == 6
    assert len(set(together)) == 6


def test_batches_that_are_kept_stay_as_they_were(small_store, expected):
    with PatchLoader(small_store, **OPTIONS, workers=2, prefetch=1) as loader:
        kept = list(loader) + list(loader)
    assert [digest(batch) for batch in kept] == expected[0] + expected[1]


def test_a_training_loop_uses_few_buffers(small_store):
    with PatchLoader(small_store, **OPTIONS, workers=2, prefetch=2) as loader:
        places = {batch["image"].data_ptr() for _ in range(6) for batch in loader}
    assert len(places) <= 2 + 3


@pytest.mark.parametrize("done", [0, 1, 4, 6, 8])
def test_resumes_with_the_batches_that_would_have_come(small_store, expected, done):
    rest = (expected[0] + expected[1])[done:]
    with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
        batches = (batch for _ in range(2) for batch in loader)
        for _ in range(done):
            next(batches)
        state = loader.state_dict()
    with PatchLoader(small_store, **OPTIONS, workers=1) as loader:
        loader.load_state_dict(state)
        loader.set_epoch(state["epoch"])  # as a trainer does: the place stays
        found = []
        while loader.epoch < 2:
            found += digests(loader)
    assert found == rest


def test_a_broken_loop_goes_on_and_set_epoch_starts_over(small_store, expected):
    with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
        for _ in loader:
            break
        assert digests(loader) == expected[0][1:]
        loader.set_epoch(0)
        assert digests(loader) == expected[0]


def test_a_second_iteration_ends_the_first(small_store):
    with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
        first = iter(loader)
        next(first)
        next(iter(loader))
        with pytest.raises(StopIteration):
            next(first)


def test_a_state_of_other_settings_is_refused(small_store):
    state = PatchLoader(small_store, **OPTIONS, workers=0).state_dict()
    other = PatchLoader(small_store, **{**OPTIONS, "seed": 4}, batch_size=3, workers=0)
    with pytest.raises(ValueError, match=r"seed 3 \(now 4\), batch_size 2 \(now 3\)"):
        other.load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_thread_reaches_the_loop_with_the_sample(tmp_path, small_store, workers):
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(small_store, damaged)
    shard = next(
        path for path in (damaged / "samples" / "s03" / "image").rglob("*") if path.is_file() and "c" in path.parts
    )
    shard.write_bytes(shard.read_bytes()[:100])
    with PatchLoader(damaged, **OPTIONS, workers=workers) as loader, pytest.raises(StoreDamagedError) as caught:
        list(loader)
    assert "s03" in str(caught.value)
    assert any("s03" in note and "of epoch 0" in note for note in caught.value.__notes__)


def test_any_error_tells_its_sample(small_store, monkeypatch):
    with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
        monkeypatch.setattr(loader._source, "read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            next(iter(loader))
    assert any(note.startswith("while loading patch 0 of epoch 0, sample s0") for note in caught.value.__notes__)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("medimagenet-loader")]


def test_closing_is_immediate_and_leaves_no_thread(small_store, monkeypatch):
    loader = PatchLoader(small_store, **OPTIONS, workers=2, prefetch=5)
    read = loader._source.read
    monkeypatch.setattr(loader._source, "read", lambda *args: (time.sleep(0.2), read(*args)))
    batches = iter(loader)
    next(batches)
    assert len(loader_threads()) == 2
    started = time.monotonic()
    loader.close()
    assert time.monotonic() - started < 2  # what runs (0.6 s) is waited for, the queue (3 s) is not
    assert loader_threads() == []
    loader.close()
    assert next(iter(loader))["image"].shape[0] == 2  # and it can be used again
    loader.close()


def test_a_forgotten_loader_leaves_no_thread(small_store):
    loader = PatchLoader(small_store, **OPTIONS, workers=2)
    next(iter(loader))
    del loader
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() == []


def test_a_notebook_whose_event_loop_is_running_loads_as_any_other(small_store, expected):
    async def cell():
        with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
            found = []
            for batch in loader:
                found.append(digest(batch))
                await asyncio.sleep(0)
            return found

    assert asyncio.run(cell()) == expected[0]
    assert loader_threads() == []


def test_a_cell_that_is_interrupted_leaves_a_loader_that_goes_on(small_store, expected):
    with PatchLoader(small_store, **OPTIONS, workers=2) as loader:
        batches = iter(loader)
        next(batches)
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
        assert digests(loader) == expected[0][1:]


def test_a_device_is_where_the_tensors_are(small_store):
    with PatchLoader(small_store, **OPTIONS, workers=1, device="cpu") as loader:
        assert next(iter(loader))["image"].device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_batches_on_a_gpu_are_the_same(small_store, expected):
    with PatchLoader(small_store, **OPTIONS, workers=2, device="cuda") as loader:
        found = [{k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in batch.items()} for batch in loader]
    assert [digest(batch) for batch in found] == expected[0]


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"prefetch": 0}, {"batch_size": 0}, {"rank": 2, "ranks": 2}])
def test_wrong_settings_are_named(small_store, wrong):
    with pytest.raises(ValueError, match=r"got"):
        PatchLoader(small_store, **OPTIONS, **wrong)


def test_an_empty_split_is_named(small_store):
    with pytest.raises(StoreError, match="no samples in split 'nothing'"):
        PatchLoader(small_store, **OPTIONS, split="nothing")


def test_more_ranks_than_patches_still_train_in_step(small_store):
    drawn = []
    for rank in range(4):
        with PatchLoader(
            small_store, patch_size=(4, 4, 4), patches_per_epoch=3, workers=0, rank=rank, ranks=4
        ) as loader:
            drawn.append([batch["patch_start"].tolist() for batch in loader])
    assert [len(batches) for batches in drawn] == [1] * 4


def test_as_many_threads_as_cores():
    assert 1 <= usable_cores() <= 8
