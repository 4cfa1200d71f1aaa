"""SegmentationModule: Dice against exact arithmetic and MONAI, its losses against each class alone."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceLoss
from monai.metrics import compute_dice

from medimagenet.train import SegmentationModule
from medimagenet.train.segmentation import dice_per_class

PATCH = (16, 16, 8)


def batch_of(classes=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn((2, 1, *PATCH), generator=random),
        "pt": torch.randn((2, 1, *PATCH), generator=random),
        "label": (torch.rand((2, classes, *PATCH), generator=random) > 0.8).to(torch.uint8),
    }


def test_dice_is_exact():
    prediction = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool).reshape(1, 1, 6)
    truth = torch.tensor([0, 1, 1, 1, 1, 0], dtype=torch.bool).reshape(1, 1, 6)
    assert float(dice_per_class(prediction, truth)) == pytest.approx(float(Fraction(2 * 2, 3 + 4)), abs=1e-15)


def test_dice_agrees_with_monai_and_is_nan_where_nothing_is_true():
    random = np.random.default_rng(1)
    prediction, truth = (torch.as_tensor(random.random((3, 2, 5, 6, 7)) > 0.6) for _ in range(2))
    truth[1, 0] = False
    expected = compute_dice(prediction, truth, include_background=True, ignore_empty=True)
    np.testing.assert_allclose(dice_per_class(prediction, truth), expected, rtol=1e-6)
    assert torch.isnan(dice_per_class(prediction, truth)[1, 0])


def test_each_class_has_a_loss_of_its_own():
    # where one voxel may be of both classes, a softmax over the classes cannot reach zero; a sum over classes can
    module = SegmentationModule(("a", "b"), patch_size=PATCH, channels=(4, 8))
    batch = batch_of()
    batch["label"][:, 1] = batch["label"][:, 0]
    perfect = (batch["label"].float() - 0.5) * 200
    module.forward = lambda _: perfect
    assert module.training_step(batch, 0).item() < 1e-4


def test_the_loss_is_dice_plus_binary_cross_entropy():
    module = SegmentationModule(("a", "b"), patch_size=PATCH, channels=(4, 8))
    batch = batch_of()
    logits, truth = module(batch), batch["label"].float()
    p = torch.sigmoid(logits)
    entropy = -(truth * torch.log(p) + (1 - truth) * torch.log(1 - p)).mean()
    expected = DiceLoss(sigmoid=True, batch=True)(logits, truth) + entropy
    torch.testing.assert_close(module.training_step(batch, 0), expected, rtol=1e-5, atol=1e-6)
    assert module.losses == [pytest.approx(expected.item(), rel=1e-5)]


def test_a_label_map_gives_the_same_loss_as_its_channels():
    batch = batch_of()
    batch["label"][:, 0][batch["label"][:, 1] > 0] = 0
    as_map = {**batch, "label": batch["label"][:, :1] + 2 * batch["label"][:, 1:]}
    losses = []
    for kind, one in (("channels", batch), ("map", as_map)):
        torch.manual_seed(0)
        module = SegmentationModule(("a", "b"), patch_size=PATCH, channels=(4, 8), label_kind=kind)
        losses.append(module.training_step(one, 0).item())
    assert losses[0] == losses[1]


def test_several_images_are_joined_as_channels():
    module = SegmentationModule(("a",), inputs=("image", "pt"), patch_size=PATCH, channels=(4, 8))
    batch = batch_of(1)
    assert module(batch).shape == (2, 1, *PATCH)
    assert not torch.equal(module(batch), module({**batch, "pt": batch["pt"] + 1}))


def test_whole_volumes_are_predicted_in_windows():
    module = SegmentationModule(("a", "b"), patch_size=PATCH, channels=(4, 8)).eval()
    volume = {"image": torch.randn(1, 1, 21, 30, 11)}
    mask = module.predict_mask(volume)
    assert mask.shape == (1, 2, 21, 30, 11)
    assert mask.dtype == torch.bool


def test_it_can_be_loaded_from_a_checkpoint(tmp_path):
    module = SegmentationModule(("a",), patch_size=PATCH, channels=(4, 8), learning_rate=0.5)
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, tmp_path / "m.ckpt")
    again = SegmentationModule(**torch.load(tmp_path / "m.ckpt", weights_only=True)["hyper_parameters"])
    again.load_state_dict(torch.load(tmp_path / "m.ckpt", weights_only=True)["state_dict"])
    batch = batch_of(1)
    module.eval(), again.eval()
    assert torch.equal(module(batch), again(batch))


def test_what_is_logged_is_a_plain_tensor():
    """A checkpoint that holds a MetaTensor cannot be loaded with ``weights_only``, nor sent between processes."""
    module = SegmentationModule(("a", "b"), patch_size=PATCH, channels=(4, 8)).eval()
    batch = {name: MetaTensor(value) for name, value in batch_of().items()}
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: value})
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert {name: type(value) for name, value in logged.items()} == dict.fromkeys(
        ("val_dice_a", "val_dice_b", "val_dice"), torch.Tensor
    )
    assert type(module.training_step(batch, 0)) is type(module.predict_step(batch, 0)) is torch.Tensor
