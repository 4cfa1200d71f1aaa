"""Samplers for ``torch.utils.data.DataLoader``: the order of an epoch, split among ranks."""

from collections.abc import Iterator, Sized

import torch.distributed
from torch.utils.data import DistributedSampler

from .samplers import Draw, Share


class EpochSampler(DistributedSampler[Draw]):
    """Yields the draws of one epoch that belong to one rank, in order; see `Share` for how ranks divide them.

    It carries the epoch to the dataset, also into worker processes that outlive an epoch. It is a
    ``DistributedSampler`` so that Lightning leaves it in place and tells it the epoch.

    Parameters
    ----------
    dataset : its length is that of the epoch
    batch_size : that of the DataLoader; ranks take whole batches in turn
    rank, ranks : None asks ``torch.distributed``; without it, one process
    wrap : training fills a remainder from the epoch's start; False (validation) never yields an index twice
    """

    def __init__(
        self,
        dataset: Sized,
        *,
        batch_size: int = 1,
        rank: int | None = None,
        ranks: int | None = None,
        wrap: bool = True,
    ) -> None:
        place = process_place(rank, ranks)
        self.share = Share(length=len(dataset), batch=batch_size, rank=place[0], ranks=place[1], wrap=wrap)
        self.first_batch = 0
        """Batches that the next iteration, and only that, leaves out: where a resumed epoch goes on."""
        super().__init__(dataset, num_replicas=place[1], rank=place[0], shuffle=False)

    def __len__(self) -> int:
        """Patches of this rank in an epoch."""
        return self.share.patches

    def __iter__(self) -> Iterator[Draw]:
        epoch, first, self.first_batch = self.epoch, self.first_batch, 0
        for batch in range(first, self.share.batches):
            for index in self.share.indices(batch):
                yield Draw(epoch, index)


def process_place(rank: int | None, ranks: int | None) -> tuple[int, int]:
    """Rank and number of ranks: as given, else those of ``torch.distributed``, else one process.

    Raises
    ------
    ValueError
        Only one of them is given.
    """
    if (rank is None) != (ranks is None):
        raise ValueError(f"give both rank and ranks or neither, got rank={rank}, ranks={ranks}")
    if rank is not None and ranks is not None:
        return rank, ranks
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
