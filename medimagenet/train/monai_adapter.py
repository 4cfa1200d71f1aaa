"""Where MONAI's classes meet our datasets: a resumable DataLoader, whole-volume inference, and the way back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import monai.data
import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Grid
from ..loading import EpochSampler, PatchDataset
from ..loading.orientation import turn_towards


class EpochLoader(monai.data.DataLoader):
    """MONAI's DataLoader over a `PatchDataset`, for transforms on the CPU in worker processes.

    It draws what `PatchLoader` draws and is, like it, a place in an endless row of epochs that can be saved and
    restored between any two batches. ``sampler.set_epoch`` moves to another epoch.

    Parameters
    ----------
    dataset : with its transforms
    batch_size : items in a batch of this rank
    rank, ranks : None asks ``torch.distributed``
    options : of ``torch.utils.data.DataLoader``, such as num_workers
    """

    def __init__(
        self,
        dataset: PatchDataset,
        *,
        batch_size: int = 2,
        rank: int | None = None,
        ranks: int | None = None,
        **options: Any,
    ) -> None:
        sampler = EpochSampler(dataset, batch_size=batch_size, rank=rank, ranks=ranks)
        super().__init__(dataset, batch_size=batch_size, sampler=sampler, **options)
        self._epoch, self._batch = 0, 0

    def __iter__(self) -> Iterator[Any]:
        """The batches from the present place to the end of its epoch; the next iteration is the next epoch."""
        sampler: EpochSampler = self.sampler
        epoch = sampler.epoch
        sampler.first_batch = self._batch if self._epoch == epoch else 0
        for number, batch in enumerate(super().__iter__(), start=sampler.first_batch + 1):
            if number == len(self):
                sampler.set_epoch(epoch + 1)
            self._epoch, self._batch = (epoch, number) if number < len(self) else (epoch + 1, 0)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The place after the last batch that was handed out."""
        return {"epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place that `state_dict` saved."""
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])
        self.sampler.set_epoch(self._epoch)


def predict_volume(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    patch_size: Sequence[int],
    *,
    batch_size: int = 4,
    overlap: float = 0.25,
) -> Tensor:
    """Run a network over a whole volume in overlapping windows, blended by a Gaussian.

    Parameters
    ----------
    network : (N, C, ...) patches to (N, K, ...), for example logits
    image : (C, n0, n1, n2) or (N, C, n0, n1, n2), an item or a batch of `VolumeDataset`
    patch_size : voxels along n0, n1, n2: of the windows
    batch_size : windows at once
    overlap : share of a window's edge that neighbours have in common

    Returns
    -------
    (K, n0, n1, n2), or with the leading N where `image` had it; a MetaTensor where `image` was one
    """
    is_item = image.ndim == 4
    batch = image[None] if is_item else image
    with torch.inference_mode():
        output = sliding_window_inference(
            batch, tuple(patch_size), batch_size, network, overlap=overlap, mode="gaussian"
        )
    prediction: Tensor = output[0] if is_item else output
    return prediction


def to_stored_order(prediction: Tensor | NDArray[Any], grid: Grid, orientation: str | None = "RAS") -> NDArray[Any]:
    """Turn a prediction for a whole volume back into the order of the store.

    Parameters
    ----------
    prediction : (C, n0, n1, n2), with the axes of a `VolumeDataset` item
    grid : of the stored array
    orientation : that of the dataset

    Returns
    -------
    (C, Z, Y, X) on `grid`

    Raises
    ------
    ValueError
        The prediction is not of the volume's size.
    """
    array = np.asarray(prediction.detach().cpu() if isinstance(prediction, Tensor) else prediction)
    turn = turn_towards(grid, orientation)
    forwards = array[:, *(slice(None, None, -1 if flip else 1) for flip in turn.flips)]
    stored = forwards.transpose(0, *(1 + turn.array_axes.index(axis) for axis in range(3)))
    if stored.shape[1:] != grid.shape:
        raise ValueError(f"a prediction of shape {array.shape} is not of a volume of size {grid.size} (x, y, z)")
    return np.ascontiguousarray(stored)
