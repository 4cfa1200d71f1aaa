"""How a PatchLoader ends: with the interpreter, by Ctrl-C, in a forked process. Each in a process of its own."""

import os
import subprocess
import sys

import pytest

BEGIN = """
import os, signal, sys, time
import torch
torch.set_num_threads(1)
from medimagenet.loading import PatchLoader
loader = PatchLoader(sys.argv[1], patch_size=(9, 8, 7), patches_per_epoch=400, seed=3, workers=2, prefetch=5)
batches = iter(loader)
first = next(batches)
print("begun", flush=True)
"""

EXIT = "loader._source.read = lambda *_: time.sleep(0.05)\nnext(batches)"

INTERRUPT = """
loader._source.read = lambda *_: time.sleep(0.05)
signal.setitimer(signal.ITIMER_REAL, 0.3)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
for batch in batches:
    pass
"""

FORK = """
def held():
    places = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    names = [os.readlink(place) for place in places if os.path.islink(place)]
    return [name for name in [*names, *open("/proc/self/maps").read().split()] if sys.argv[1] in name]

for pending in batches.gi_frame.f_locals["pending"]:
    for future in pending[1]:
        future.result()  # a patch that is being read has its file open, in a fork too
child = os.fork()
if child == 0:
    code = 1
    try:
        assert held() == [], held()
        try:
            next(batches)
        except RuntimeError as error:
            assert "began before a fork" in str(error)
        else:
            raise AssertionError("it went on")
        loader.set_epoch(1)
        loader.set_epoch(0)
        assert torch.equal(next(iter(loader))["image"], first["image"])
        loader.close()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert next(batches)["image"].shape == first["image"].shape
loader.close()
assert held() == []
"""


EVERY_DATASET = """
import os, sys
import torch
from monai.data import DataLoader
from medimagenet.loading import GridPatchDataset, PatchDataset, SliceDataset, VolumeDataset
torch.set_num_threads(1)

def held():
    places = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    names = [os.readlink(place) for place in places if os.path.islink(place)]
    found = [*names, *open("/proc/self/maps").read().split()]
    return [name for name in found if any(store in name for store in stems)]

stems = [os.path.splitext(store)[0] for store in sys.argv[1:]]

def look(item):
    assert held() == [], held()
    return item

for store in sys.argv[1:]:
    for dataset in (
        PatchDataset(store, patch_size=(9, 8, 7), patches_per_epoch=4, transform=look),
        SliceDataset(store, slices_per_epoch=4, transform=look),
        VolumeDataset(store, split="val", transform=look),
        GridPatchDataset(store, patch_size=(30, 30, 20), split="val", transform=look),
    ):
        mine = [dataset[k]["image"] for k in range(2)]
        assert held() == []
        theirs = [batch["image"][0] for batch in DataLoader(dataset, batch_size=1, num_workers=1)]
        assert all(map(torch.equal, mine, theirs)), dataset
        assert held() == []
print("begun", flush=True)
"""


def run(program, *stores):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *map(os.fspath, stores)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_interpreter_ends_in_the_middle_of_an_epoch(small_store):
    done = run(BEGIN + EXIT, small_store)
    assert (done.stderr, done.stdout, done.returncode) == ("", "begun\n", 0)


def test_ctrl_c_ends_the_loop(small_store):
    done = run(BEGIN + INTERRUPT, small_store)
    assert done.stdout == "begun\n"
    assert done.returncode in (-2, 130)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_takes_no_file_along_and_begins_anew(small_store):
    done = run(BEGIN + FORK, small_store)
    assert (done.stderr, done.stdout, done.returncode) == ("", "begun\n", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_dataset_keeps_a_file_in_any_process(small_store, small_store_hdf5):
    done = run(EVERY_DATASET, small_store, small_store_hdf5)
    assert (done.stdout, done.returncode) == ("begun\n", 0), done.stderr
