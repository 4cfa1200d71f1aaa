"""Memory is used again when, and only when, nothing refers to it."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medimagenet.loading import buffers
from medimagenet.loading.arrays import aligned
from medimagenet.loading.buffers import BatchBuffer, BatchRing

SHAPES = {"image": ((2, 1, 4, 4, 4), np.dtype(np.float32)), "label": ((2, 3, 4, 4, 4), np.dtype(np.uint8))}


def test_tensors_are_the_memory_of_the_buffer():
    buffer = BatchBuffer(SHAPES, is_pinned=False)
    tensors = buffer.hand_out(2)
    buffer.arrays["image"][:] = 7
    assert tensors["image"].shape == (2, 1, 4, 4, 4)
    assert tensors["label"].dtype == torch.uint8
    assert (tensors["image"] == 7).all()
    assert buffer.hand_out(1)["image"].shape == (1, 1, 4, 4, 4)
    assert all(array.ctypes.data % 64 == 0 for array in buffer.arrays.values())


def test_anything_on_the_memory_keeps_it():
    buffer = BatchBuffer(SHAPES, is_pinned=False)
    assert buffer.is_free
    weight = torch.ones(1, requires_grad=True)
    holders = [
        lambda batch: batch["image"],
        lambda batch: batch["label"][0, 1:],
        lambda batch: batch["image"].flatten().view(torch.int32),
        lambda batch: batch["image"].numpy(),
        lambda batch: (batch["image"] * weight).sum(),  # saved for the backward pass
    ]
    for hold in holders:
        held = hold(buffer.hand_out(2))
        gc.collect()
        assert not buffer.is_free
        del held
        assert buffer.is_free


class Fence:
    passed = False

    def query(self):
        return self.passed


def test_a_fence_keeps_it_until_it_is_passed():
    buffer = BatchBuffer(SHAPES, is_pinned=False)
    buffer.fence = Fence()
    assert not buffer.is_free
    buffer.fence.passed = True
    assert buffer.is_free


@pytest.fixture
def fences(monkeypatch):
    """Events that were recorded on a stream, where pinned memory is plain memory."""
    made = []
    stream = SimpleNamespace(record_event=lambda: made.append(Fence()) or made[-1])
    monkeypatch.setattr(buffers, "_pinned", aligned)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    return made


def test_pinned_memory_waits_for_what_was_enqueued_when_its_tensors_went(fences):
    buffer = BatchBuffer(SHAPES, is_pinned=True)
    assert buffer.is_free  # nothing was handed out
    kept = buffer.hand_out(2)
    assert not buffer.is_free
    assert fences == []  # a loop may copy what it kept at any later time
    del kept
    assert not buffer.is_free
    assert len(fences) == 1
    fences[0].passed = True
    assert buffer.is_free
    buffer.hand_out(2)
    assert not buffer.is_free  # a fence of its own each time
    assert len(fences) == 2


def test_the_fence_of_a_copier_is_enough(fences):
    buffer = BatchBuffer(SHAPES, is_pinned=True)
    buffer.hand_out(2)
    buffer.fence = Fence()
    assert not buffer.is_free
    buffer.fence.passed = True
    assert buffer.is_free
    assert fences == []


def test_the_ring_gives_free_buffers_again():
    ring = BatchRing(SHAPES, size=3, is_pinned=False)
    first = ring.take()
    tensors = first.hand_out(2)
    ring.give(first)
    second = ring.take()
    assert second is not first
    ring.give(second)
    assert ring.take() is second
    del tensors
    assert ring.take() is first


def test_the_ring_forgets_what_others_hold():
    ring = BatchRing(SHAPES, size=2, is_pinned=False)
    held = []
    for _ in range(5):
        buffer = ring.take()
        buffer.arrays["image"][:] = len(held)
        held.append(buffer.hand_out(2)["image"])
        ring.give(buffer)
    assert [float(image[0, 0, 0, 0, 0]) for image in held] == [0, 1, 2, 3, 4]
    assert len(ring._buffers) == 2
