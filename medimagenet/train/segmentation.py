"""A segmentation model, small and complete: what the demo and the recipes train, and an example to start from.

A MONAI UNet with one sigmoid channel per class, Dice plus binary cross entropy, and validation by sliding window over
whole volumes. Arrays are (N, C, X, Y, Z) as the datasets hand them out; the patch size is x, y, z.
"""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from monai.losses import DiceLoss
from monai.networks.nets import UNet
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .monai_adapter import predict_volume


class SegmentationModule(lightning.LightningModule):
    """Learns the classes of a store from its images.

    Parameters
    ----------
    classes : names of the classes, in the order of the label's channels
    inputs : names of the arrays that are the input, joined along the channel axis
    patch_size : x, y, z; also the window of validation
    channels : features of each level of the UNet; every further level halves the resolution
    learning_rate : of AdamW
    label_kind : "channels" (one 0/1 channel per class) or "map" (value k + 1 is class k)
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        inputs: Sequence[str] = ("image",),
        patch_size: Sequence[int] = (64, 64, 32),
        channels: Sequence[int] = (16, 32, 64),
        learning_rate: float = 5e-3,
        label_kind: str = "channels",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.classes = tuple(classes)
        self.network = UNet(
            spatial_dims=3,
            in_channels=len(inputs),
            out_channels=len(classes),
            channels=tuple(channels),
            strides=(2,) * (len(channels) - 1),
            norm="BATCH",  # keeps HU and SUV apart: 120 steps on sts_gtv reach Dice 0.61, instance norm 0.33
        )
        # not MONAI's DiceCELoss: with several channels its cross entropy is a softmax over classes, ours may overlap
        self.dice_loss = DiceLoss(sigmoid=True, batch=True)
        self.losses: list[float] = []
        """Training loss of every step so far."""
        self._scores: list[Tensor] = []

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits (N, classes, X, Y, Z) of a batch."""
        return self.network(self._images(batch))

    def _images(self, batch: dict[str, Any]) -> Tensor:
        return torch.cat([_plain(batch[name]).float() for name in self.hparams["inputs"]], dim=1)

    def _truth(self, batch: dict[str, Any]) -> Tensor:
        """(N, classes, X, Y, Z), 0 or 1."""
        label = _plain(batch["label"])
        if self.hparams["label_kind"] == "map":
            label = torch.cat([label == value for value in range(1, len(self.classes) + 1)], dim=1)
        return label.float()

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Loss of one batch of patches."""
        logits, truth = self(batch), self._truth(batch)
        loss: Tensor = self.dice_loss(logits, truth) + binary_cross_entropy_with_logits(logits, truth)
        self.losses.append(float(loss.detach()))
        return loss

    def predict_mask(self, batch: dict[str, Any]) -> Tensor:
        """Whole volumes by sliding window: (N, classes, X, Y, Z), bool."""
        return predict_volume(self.network, self._images(batch), self.hparams["patch_size"]) > 0

    def predict_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Logits: of windows as they are, of whole volumes by sliding window."""
        if "window" in batch:
            return self(batch)
        return predict_volume(self.network, self._images(batch), self.hparams["patch_size"])

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Dice of one whole volume."""
        self._scores.append(dice_per_class(self.predict_mask(batch), self._truth(batch) > 0))

    def on_validation_epoch_end(self) -> None:
        """Log `val_dice`, and `val_dice_<class>`: means over the volumes that have the class."""
        per_class = torch.nanmean(torch.cat(self._scores), dim=0) if self._scores else torch.zeros(len(self.classes))
        self._scores.clear()
        for name, score in zip(self.classes, per_class, strict=True):
            self.log(f"val_dice_{name}", score)
        self.log("val_dice", torch.nanmean(per_class), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.network.parameters(), lr=self.hparams["learning_rate"])


def _plain(tensor: Tensor) -> Tensor:
    """Without the metadata of a MetaTensor: what is logged goes to checkpoints, and between processes."""
    return torch.as_tensor(tensor).as_subclass(Tensor)


def dice_per_class(prediction: Tensor, truth: Tensor) -> Tensor:
    """Dice coefficient 2|A∩B| / (|A|+|B|).

    Parameters
    ----------
    prediction, truth : (N, C, ...), bool

    Returns
    -------
    (N, C); nan where the truth is empty, which no score describes
    """
    axes = tuple(range(2, truth.ndim))
    common = (prediction & truth).sum(dim=axes).double()
    sizes = prediction.sum(dim=axes).double(), truth.sum(dim=axes).double()
    score = 2 * common / (sizes[0] + sizes[1])
    return torch.where(sizes[1] > 0, score, torch.nan)
