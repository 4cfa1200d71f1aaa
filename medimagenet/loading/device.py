"""Batches on a device: copied by a stream of their own, and there cast and normalised where that is asked for.

The copy of the next batch is begun while the network works on this one. Stored voxels of 16 bits are half of what
float32 is on the way, and the arithmetic is that of the CPU, voxel for voxel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch

from ..errors import StoreError
from .patches import Patch

_AS_IT_IS = (-inf, inf, 0.0, 1.0)
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Copy:
    """A batch on its way to the device."""

    tensors: Tensors
    fence: torch.cuda.Event | None
    """Passed when the host's memory is no longer read; None: it is not read any more."""
    finished: torch.cuda.Event | None

    def wait(self) -> Tensors:
        """The tensors, for what the present stream does from now on."""
        if self.finished is not None:
            for tensor in self.tensors.values():
                present = torch.cuda.current_stream(tensor.device)
                present.wait_event(self.finished)
                tensor.record_stream(present)
        return self.tensors


class DeviceCopier:
    """Copies batches to a device.

    Parameters
    ----------
    images : arrays that come as they are stored and become float32 on the device, and their stored dtype
    pad : what their voxels become that lie outside the volume
    """

    def __init__(self, device: torch.device, *, images: Mapping[str, np.dtype[Any]], pad: float) -> None:
        self._device = device
        self._images = dict(images)
        self._pad = pad
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begin(self, tensors: Mapping[str, torch.Tensor], patches: Sequence[Patch]) -> Copy:
        """Copy a batch, without waiting where the device has streams and the batch is in pinned memory.

        Raises
        ------
        StoreError
            A sample is stored in another dtype than the others.
        """
        self._check(patches)
        if self._stream is None:
            there = {name: tensor.to(self._device, copy=True) for name, tensor in tensors.items()}
            return Copy(self._finish(there, patches), None, None)
        with torch.cuda.stream(self._stream):
            there = {name: tensor.to(self._device, non_blocking=True) for name, tensor in tensors.items()}
            fence = self._stream.record_event()
            done = self._finish(there, patches)
            return Copy(done, fence, self._stream.record_event())

    def _check(self, patches: Sequence[Patch]) -> None:
        for patch in patches:
            for name, dtype in self._images.items():
                stored = patch.sample.readers[name].dtype
                if stored != dtype:
                    raise StoreError(
                        f"sample {patch.sample.sample_id}, array {name} is stored as {stored} where other samples have "
                        f"{dtype}: set normalize_on_device=False"
                    )

    def _finish(self, tensors: Tensors, patches: Sequence[Patch]) -> Tensors:
        return {
            name: normalise(tensor, name, patches, self._pad) if name in self._images else tensor
            for name, tensor in tensors.items()
        }


def normalise(voxels: torch.Tensor, name: str, patches: Sequence[Patch], pad: float) -> torch.Tensor:
    """Stored voxels as float32, each patch by the constants of its sample, as the crop kernel makes them.

    Parameters
    ----------
    voxels : (N, C, n0, n1, n2)
        Any dtype.
    name
        Of the array, in the samples of the patches.
    pad
        What voxels outside the volume become, as it is.
    """
    rows = [patch.sample.constants[name] for patch in patches]
    values = voxels.to(torch.float32)
    if any(row is not None for row in rows):
        stacked = np.array([_AS_IT_IS if row is None else row for row in rows], dtype=np.float32)
        constants = torch.from_numpy(stacked)
        if voxels.is_cuda:
            constants = constants.pin_memory()  # a copy of pageable memory would wait for the voxels on their way
        constants = constants.to(voxels.device, non_blocking=True)
        # on the device: by a number of the host a GPU would multiply with its rounded inverse
        low, high, subtract, divide = (constants[:, k].reshape(-1, 1, 1, 1, 1) for k in range(4))
        values = values.maximum(low).minimum(high).sub_(subtract).div_(divide)
    for patch, volume in zip(patches, values, strict=True):
        _pad(volume, patch, pad)
    return values


def _pad(volume: torch.Tensor, patch: Patch, pad: float) -> None:
    """Fill what lies outside the stored volume, of (C, n0, n1, n2)."""
    turn = patch.sample.turn
    for k, (axis, is_flipped) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        size = volume.shape[k + 1]
        low = min(max(-patch.start[axis], 0), size)
        high = min(max(patch.sample.grid.size[axis] - patch.start[axis], low), size)
        if is_flipped:
            low, high = size - high, size - low
        if low > 0:
            volume.narrow(k + 1, 0, low).fill_(pad)
        if high < size:
            volume.narrow(k + 1, high, size - high).fill_(pad)
