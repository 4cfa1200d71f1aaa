"""Normalising on the device against the crop kernel: equal bit for bit; the CPU stands for the device."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medimagenet.errors import StoreError
from medimagenet.loading import PatchLoader
from medimagenet.loading.device import DeviceCopier

torch.set_num_threads(1)
OPTIONS = {"patch_size": (9, 8, 7), "patches_per_epoch": 11, "foreground": 0.5, "seed": 3}
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def tensors(batch):
    return {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one["sample_id"] == other["sample_id"]
        assert tensors(one).keys() == tensors(other).keys()
        for name, value in tensors(other).items():
            assert tensors(one)[name].dtype == value.dtype
            np.testing.assert_array_equal(tensors(one)[name].cpu().numpy(), value.numpy(), err_msg=name)


@pytest.mark.parametrize("orientation", ["RAS", "ASL", None])
@pytest.mark.parametrize("size", [(9, 8, 7), (60, 8, 70)])
def test_the_same_values_as_on_the_cpu(small_store, orientation, size):
    options = {**OPTIONS, "patch_size": size, "orientation": orientation, "pad": -1.25, "workers": 2}
    with (
        PatchLoader(small_store, **options) as plain,
        PatchLoader(small_store, **options, device="cpu", normalize_on_device=True) as device,
    ):
        assert device._ring._shapes["image"][1] == np.int16
        assert_equal(list(device), list(plain))


@CUDA
@pytest.mark.gpu
@pytest.mark.parametrize("normalize", [True, False])
def test_the_same_values_on_a_gpu(small_store, normalize):
    with (
        PatchLoader(small_store, **OPTIONS, workers=2) as plain,
        PatchLoader(small_store, **OPTIONS, workers=2, device="cuda", normalize_on_device=normalize) as device,
    ):
        found = [{k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in batch.items()} for batch in device]
        assert all(value.device.type == "cuda" for value in (found[0]["image"], found[0]["label"]))
        assert_equal(found, list(plain))


def test_the_next_copy_is_begun_while_the_loop_works(small_store, monkeypatch):
    begun = []
    begin = DeviceCopier.begin
    monkeypatch.setattr(DeviceCopier, "begin", lambda *args: begun.append(1) or begin(*args))
    with PatchLoader(small_store, **OPTIONS, workers=0, device="cpu") as loader:
        batches = iter(loader)
        next(batches)
        assert len(begun) == 1  # nothing is made ahead
    begun.clear()
    with PatchLoader(small_store, **OPTIONS, workers=2, device="cpu") as loader:
        batches = iter(loader)
        next(batches)
        for future in [future for pending in batches.gi_frame.f_locals["pending"] for future in pending[1]]:
            future.result()
        next(batches)
        assert len(begun) == 3
        state = loader.state_dict()
    assert (state["epoch"], state["batch"]) == (0, 2)


class Recorder:
    """Stands for torch's streams, events and tensors on a GPU; `done` is what was asked of them, in order."""

    def __init__(self):
        self.done, self.present = [], "loop"

    def stream(self, name):
        def record_event():
            self.done.append(f"event on {name}")
            return self.done[-1]

        def wait_event(event):
            self.done.append(f"{name} waits for {event}")

        return SimpleNamespace(name=name, record_event=record_event, wait_event=wait_event)

    def tensor(self, name, device="host"):
        def to(there, *, non_blocking):
            assert non_blocking
            self.done.append(f"copy {name} on {self.present}")
            return self.tensor(name, there)

        def record_stream(stream):
            self.done.append(f"{name} is used by {stream.name}")

        return SimpleNamespace(device=device, to=to, record_stream=record_stream)

    @contextlib.contextmanager
    def within(self, stream):
        self.present, before = stream.name, self.present
        yield
        self.present = before


def test_the_order_of_what_a_gpu_is_asked(monkeypatch):
    """Copies run on a stream of their own, the host's memory is free behind them, and the loop's stream waits for all;
    a tensor that was made on one stream and used on another must say so (`Tensor.record_stream`)."""
    gpu = Recorder()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: gpu.stream(f"side of {device}"))
    monkeypatch.setattr(torch.cuda, "stream", gpu.within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: gpu.stream(gpu.present))
    copier = DeviceCopier(torch.device("cuda"), images={}, pad=0.0)
    copy = copier.begin({name: gpu.tensor(name) for name in ("image", "label")}, [])
    side = "side of cuda"
    assert gpu.done == [f"copy image on {side}", f"copy label on {side}", f"event on {side}", f"event on {side}"]
    assert copy.fence is gpu.done[2]
    gpu.done.clear()
    assert list(copy.wait()) == ["image", "label"]
    waits = f"loop waits for event on {side}"
    assert gpu.done == [waits, "image is used by loop", waits, "label is used by loop"]


def test_batches_on_a_device_are_nobody_elses(small_store):
    """Their host memory is filled again at once; what was handed out must not change."""
    with (
        PatchLoader(small_store, **OPTIONS) as plain,
        PatchLoader(small_store, **OPTIONS, device="cpu", prefetch=1) as device,
    ):
        assert_equal(list(device), list(plain))


def test_a_sample_of_another_dtype_is_named(small_store, monkeypatch):
    loader = PatchLoader(small_store, **OPTIONS, device="cpu", normalize_on_device=True)
    monkeypatch.setattr(loader._copier, "_images", {"image": np.dtype(np.uint8)})
    with pytest.raises(StoreError, match=r"sample s0.*image is stored as int16 where other samples have uint8"):
        list(loader)
    loader.close()


def test_it_needs_a_device(small_store):
    with pytest.raises(ValueError, match="needs a device, got device=None"):
        PatchLoader(small_store, **OPTIONS, normalize_on_device=True)
