"""Prediction through Lightning's Trainer, window by window, put together into whole volumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from torch import Tensor

from ..loading import GridAggregator, GridPatchDataset
from ..volume import Volume


class PredictedVolumes(lightning.Callback):
    """Blends what `predict_step` returns for windows, as `GridAggregator` does, and hands out each volume once whole.

    For a `DataModule` with ``predict_windows=True``, whose windows of one volume all come to the same process. Say
    ``trainer.predict(..., return_predictions=False)``: the windows' own predictions need not be kept.

    Parameters
    ----------
    on_volume : called with a sample's id and its prediction (K, Z, Y, X) on the stored grid
    blend, dtype, folder : as for `GridAggregator`; with a folder each prediction is a file, ``<sample_id>.npy``

    Raises
    ------
    ValueError
        Nothing says where the volumes go.
    """

    def __init__(
        self,
        on_volume: Callable[[str, Volume], None] | None = None,
        *,
        blend: str = "gaussian",
        dtype: str = "float32",
        folder: Path | str | None = None,
    ) -> None:
        if on_volume is None and folder is None:
            raise ValueError(f"give on_volume or folder, got on_volume={on_volume}, folder={folder}")
        self._on_volume = on_volume
        self._options: dict[str, Any] = {"blend": blend, "dtype": dtype, "folder": folder}
        self._aggregator: GridAggregator | None = None

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the windows that will come; a process without volumes has none."""
        dataset = getattr(trainer.predict_dataloaders, "dataset", None)
        if dataset is None:
            return
        if not isinstance(dataset, GridPatchDataset):
            raise ValueError(
                f"prediction must be of windows, got a {type(dataset).__name__}: DataModule(..., predict_windows=True)"
            )
        self._aggregator = GridAggregator(dataset, **self._options)

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Tensor,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the windows of a batch."""
        if self._aggregator is None:
            return
        for sample_id, volume in self._aggregator.add(batch, outputs):
            if self._on_volume is not None:
                self._on_volume(sample_id, volume)

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget what is not whole, such as after ``limit_predict_batches``."""
        self._aggregator = None
