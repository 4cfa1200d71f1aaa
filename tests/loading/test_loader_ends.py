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


def run(program, store):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + program, os.fspath(store)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_interpreter_ends_in_the_middle_of_an_epoch(small_store):
    done = run(EXIT, small_store)
    assert (done.stderr, done.stdout, done.returncode) == ("", "begun\n", 0)


def test_ctrl_c_ends_the_loop(small_store):
    done = run(INTERRUPT, small_store)
    assert done.stdout == "begun\n"
    assert done.returncode in (-2, 130)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_takes_no_file_along_and_begins_anew(small_store):
    done = run(FORK, small_store)
    assert (done.stderr, done.stdout, done.returncode) == ("", "begun\n", 0)
