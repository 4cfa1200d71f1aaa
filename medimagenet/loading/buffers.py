"""Batch buffers that are filled in place and used again when nothing refers to them any more.

A batch is handed out as tensors on a view of its buffer. The view lives as long as any tensor on that memory, slices
and saved activations included, so a dead weak reference says that the memory is free. A caller that keeps its batches
keeps them whole: the ring then makes new buffers. In a training loop a few serve for ever, and their pages, touched
once, cost nothing more (filling fresh pages is three times slower).

Copies to a GPU out of pinned memory are asynchronous: they go on after the last tensor is gone. So a pinned buffer has
a fence before it is filled again: one of the copier, or else one behind all that the loop has enqueued by the time when
its tensors are found to be gone. One of the moment when the batch was handed out would not do, as loops that keep a
batch for their next step copy it later.
"""

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .arrays import aligned

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


class BatchBuffer:
    """Arrays of one batch, by name."""

    def __init__(self, shapes: Shapes, *, is_pinned: bool) -> None:
        make = _pinned if is_pinned else aligned
        self.arrays: dict[str, NDArray[Any]] = {name: make(shape, dtype) for name, (shape, dtype) in shapes.items()}
        self._views: list[weakref.ref[NDArray[Any]]] = []
        self._is_pinned = is_pinned
        self.fence: torch.cuda.Event | None = None
        """Passed when copies out of pinned memory, which go on after the tensors are gone, have ended."""

    def hand_out(self, patches: int) -> dict[str, torch.Tensor]:
        """Tensors on the memory of the first `patches` patches."""
        views = {name: array[:patches] for name, array in self.arrays.items()}
        self.fence = None
        self._views = [weakref.ref(view) for view in views.values()]
        return {name: torch.from_numpy(view) for name, view in views.items()}

    @property
    def is_free(self) -> bool:
        """Whether no tensor is on this memory, and no copy reads it."""
        if any(view() is not None for view in self._views):
            return False
        if self._views and self._is_pinned and self.fence is None:
            self.fence = torch.cuda.current_stream().record_event()
        return self.fence is None or bool(self.fence.query())


class BatchRing:
    """Gives buffers that are free, and makes new ones when none is."""

    def __init__(self, shapes: Shapes, *, size: int, is_pinned: bool) -> None:
        self._shapes = shapes
        self._size = size
        self._is_pinned = is_pinned
        self._buffers: list[BatchBuffer] = []

    def take(self) -> BatchBuffer:
        """A free buffer, no longer in the ring."""
        for place, buffer in enumerate(self._buffers):
            if buffer.is_free:
                return self._buffers.pop(place)
        return BatchBuffer(self._shapes, is_pinned=self._is_pinned)

    def give(self, buffer: BatchBuffer) -> None:
        """Put a buffer back, handed out or not. The oldest leaves when there are more than the ring's size."""
        self._buffers.append(buffer)
        if len(self._buffers) > self._size:
            self._buffers.pop(0)  # whoever holds its tensors keeps its memory


def _pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Page-locked memory, which a GPU reads while the CPU works on."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory: NDArray[Any] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
    return memory.view(dtype).reshape(shape)
