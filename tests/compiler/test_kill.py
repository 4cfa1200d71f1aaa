"""`medimagenet compile`, killed at random moments: what is there is whole, and the next run ends with the same bytes.

``MEDIMAGENET_KILLS`` says how many runs are killed in each form: by default 20 of the Zarr form, 8 of the HDF5 form.
That one is written as a Zarr folder and then packed: its runs are killed while it is packed, or just before or after.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medimagenet.compiler import compile_store
from medimagenet.store import open_store, verify

from .conftest import RECIPE

KILLS = os.environ.get("MEDIMAGENET_KILLS")
INPUT = ("x.parquet", "r.yaml")


class Forking:
    """`forking.py`, which starts runs without the second or two of loading."""

    def __init__(self, folder, *first):
        command = [sys.executable, str(Path(__file__).with_name("forking.py")), *first]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def start(self, arguments, commit_seconds):
        self.process.stdin.write(json.dumps([arguments, commit_seconds]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """How the run ended: 0, or less the number of the signal."""
        return os.waitstatus_to_exitcode(int(self.process.stdout.readline()))


def arguments(out, jobs=1):
    return ["compile", INPUT[0], "--recipe", INPUT[1], "--out", out, "--jobs", str(jobs)]


@pytest.fixture(scope="module")
def work(index, tmp_path_factory):
    """A folder with the index and the recipe."""
    folder = tmp_path_factory.mktemp("kill")
    index.write(folder / INPUT[0])
    (folder / INPUT[1]).write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def forking(work):
    started = Forking(work, *arguments("whole.zarr"))
    yield started
    started.process.stdin.close()
    started.process.wait()


def wait_for_writing(out, pid):
    """Until a sample is being written that was not before, or the run is over."""
    folder = out if out.suffix == ".zarr" else out.with_name(f"{out.name}.partial")
    before = set(folder.glob(".partial/*/"))
    while not set(folder.glob(".partial/*/")) - before and Path(f"/proc/{pid}").exists():
        time.sleep(0.0005)


def kill_at_random(forking, out, generator, seconds):
    """One run that is killed: anywhere (two of four), or within the writing of a sample. Returns how it ended."""
    kind = generator.randrange(4)
    pid = forking.start(arguments(out.name, jobs=1 + kind % 2), generator.choice([0.0, 5.0]))
    if kind < 2:
        time.sleep(generator.uniform(0, seconds))
    else:
        for _ in range(generator.randint(1, 4)):
            wait_for_writing(out, pid)
        time.sleep(generator.uniform(0, 0.02))
    with contextlib.suppress(ProcessLookupError):  # it was done
        os.kill(pid, signal.SIGKILL)
    return forking.end()


def test_killed_at_random_moments_and_run_again(forking, work, index, tree_hash):
    expected = tree_hash(work / "whole.zarr")
    started = time.monotonic()
    forking.start(arguments("timed.zarr"), 0.0)
    assert forking.end() == 0
    seconds = time.monotonic() - started
    generator, ends = random.Random(6), []
    for number in range(int(KILLS or 20)):
        out = work / f"{number}.zarr"
        ends += [kill_at_random(forking, out, generator, seconds) for _ in range(generator.choice([1, 1, 2]))]
        if out.exists():
            stored = open_store(out)  # what is committed can be read at once, and is whole
            assert [problem for problem in verify(out) if problem.sample_id in stored.ids()] == [], number
        compile_store(index, work / INPUT[1], out, jobs=1)
        assert tree_hash(out) == expected, f"run {number}, ends {ends}"
        assert sorted(path.name for path in work.glob(f"*{number}.zarr*") if path.name.startswith(".")) == []
    assert ends.count(-signal.SIGKILL) >= len(ends) // 2, ends  # the others were done before
    assert set(ends) <= {0, -signal.SIGKILL}


PROCESSES = """
import sys
from medimagenet.compiler import compile_store, run, workers
run.COMMIT_SECONDS, workers.THREADS_UP_TO_BYTES = 0.0, 0
if __name__ == "__main__":
    compile_store(*sys.argv[1:], jobs=2)
"""


def children(pid):
    """Processes that a process has started, and those that they have."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found += [int(path.parent.name), *children(int(path.parent.name))]
        except OSError:  # it has ended meanwhile
            continue
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_while_packing(forking, out, generator):
    """One run that is killed when its samples are written: before they are packed, within, while files are renamed."""
    pid = forking.start(arguments(out.name), generator.choice([0.0, 5.0]))
    partial = out.with_name(f"{out.name}.partial")
    goal = generator.choice([partial / "packed", partial / "packed" / out.name, partial / "packed/done.json", out])
    while not goal.exists() and Path(f"/proc/{pid}").exists():
        time.sleep(0.0005)
    time.sleep(generator.uniform(0, 0.01))
    with contextlib.suppress(ProcessLookupError):  # it was done
        os.kill(pid, signal.SIGKILL)
    return forking.end()


def test_the_hdf5_form_killed_at_random_moments_and_run_again(forking, work, index, tree_hash):
    compile_store(index, work / INPUT[1], work / "whole.h5", jobs=1)
    expected = tree_hash(work / "whole.h5")
    generator, ends = random.Random(7), []
    for number in range(int(KILLS or 8)):
        out = work / f"{number}.h5"
        ends += [kill_at_random(forking, out, generator, 0.5) for _ in range(generator.choice([0, 1]))]
        ends.append(kill_while_packing(forking, out, generator))
        for stored in (out, out.with_name(f"{out.name}.partial")):  # whichever of both there is, is whole
            if stored.is_file() or (stored / "samples.parquet").exists():
                names = open_store(stored).ids()
                assert [problem for problem in verify(stored) if problem.sample_id in names] == [], number
        compile_store(index, work / INPUT[1], out, jobs=1)
        assert tree_hash(out) == expected, f"run {number}, ends {ends}"
        left = {path.name for path in work.iterdir() if path.name.startswith((f"{number}.h5", f".{number}.h5"))}
        assert {name for name in left if "partial" in name} == set(), left
    assert ends.count(-signal.SIGKILL) >= len(ends) // 2, ends  # the others were done before
    assert set(ends) <= {0, -signal.SIGKILL}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for child processes in /proc")
def test_no_worker_outlives_a_parent_that_was_killed(work, index, forking, tree_hash):
    """Workers that wait for work, too: they would wait for ever."""
    (work / "processes.py").write_text(PROCESSES)
    out = work / "processes.zarr"
    command = [sys.executable, "processes.py", *INPUT, out.name]
    with subprocess.Popen(command, cwd=work, stderr=subprocess.PIPE) as process:
        while not (out / ".partial").exists() or not list(out.glob("samples/*/")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.kill()
    deadline = time.monotonic() + 5
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [pid for pid in workers if is_running(pid)] == []
    compile_store(index, work / INPUT[1], out, jobs=1)
    assert tree_hash(out) == tree_hash(work / "whole.zarr")
