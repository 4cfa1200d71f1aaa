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

    It draws what `PatchLoader` draws, and like it can be saved and resumed between any two batches of an epoch.

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
        self._batch = 0

    def __iter__(self) -> Iterator[Any]:
        """The batches from the present place to the end of the epoch."""
        sampler: EpochSampler = self.sampler
        sampler.first_batch, self._batch = self._batch, 0
        batches = super().__iter__()
        place = sampler.first_batch
        sampler.first_batch = 0
        for batch in batches:
            place += 1
            self._batch = place % len(self)
            yield batch
        self._batch = 0

    def state_dict(self) -> dict[str, Any]:
        """The place after the last batch that was handed out."""
        return {"epoch": self.sampler.epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place that `state_dict` saved."""
        self.sampler.set_epoch(int(state["epoch"]))
        self._batch = int(state["batch"])


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
    (K, n0, n1, n2), or with the leading N where `image` had it
    """
    is_item = image.ndim == 4
    batch = torch.as_tensor(image)[None] if is_item else torch.as_tensor(image)
    with torch.inference_mode():
        output = sliding_window_inference(
            batch, tuple(patch_size), batch_size, network, overlap=overlap, mode="gaussian"
        )
    prediction: Tensor = torch.as_tensor(output)
    return prediction[0] if is_item else prediction


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
