"""The kernel decorator: its choices, and its cache under processes that fill it at once (numba issue 4807)."""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest

from medimagenet.kernels._jit import c_function, kernel

PROCESSES = 8
DTYPES = ("int8", "int16", "int32", "int64", "float32", "float64")

# Compiles the same kernels for several types, each process in another order, after all have reached the start.
PROGRAM = """
import json, resource, signal, sys, time
from pathlib import Path
import numpy as np
from kernels_under_test import weigh, flip

number, count, meeting, limit, *dtypes = sys.argv[1:]
if limit == "full disk":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
else:
    Path(meeting, number).touch()
    while len(list(Path(meeting).iterdir())) < int(count):
        time.sleep(0.005)
turn = int(number) % len(dtypes)
for dtype in dtypes[turn:] + dtypes[:turn]:
    values = np.arange(1, 6).astype(dtype)
    total = weigh(values)
    assert total == 55, (dtype, total)  # 1 + 4 + 9 + 16 + 25
    flip(values)
    assert values.tolist() == [5, 4, 3, 2, 1], (dtype, values)
stats = [getattr(function, "stats", None) for function in (weigh, flip)]
counts = [[sum(s.cache_hits.values()), sum(s.cache_misses.values())] for s in stats if s]
print(json.dumps(np.sum(counts, axis=0).tolist() if counts else None))
"""
KERNELS = """
from medimagenet.kernels._jit import kernel

@kernel
def weigh(values):
    total = values[0] * 0
    for k in range(len(values)):
        total += values[k] * (k + 1)
    return total

@kernel
def flip(values):
    for k in range(len(values) // 2):
        values[k], values[-1 - k] = values[-1 - k], values[k]
"""


class Runs:
    """Starts processes that share one cache folder, and collects how often each loaded and compiled."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        (folder / "kernels_under_test.py").write_text(KERNELS)
        (folder / "program.py").write_text(PROGRAM)

    def __call__(self, count=1, *, limit="none", **variables):
        inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
        environment = {"MEDIMAGENET_CACHE_DIR": str(self.cache), **inherited, **variables}
        environment["MEDIMAGENET_CACHE_DIR"] = variables.get("MEDIMAGENET_CACHE_DIR", str(self.cache))
        meeting = self.folder / f"meeting-{time.monotonic_ns()}"
        meeting.mkdir()
        command = [sys.executable, str(self.folder / "program.py")]
        started = [
            subprocess.Popen(
                [*command, str(number), str(count), str(meeting), limit, *DTYPES],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        ended = [(process, *process.communicate(timeout=300)) for process in started]
        for process, _, complaint in ended:
            assert process.returncode == 0, complaint
        return [json.loads(output) for _, output, _ in ended]

    def files(self):
        return [path for path in self.cache.rglob("*") if path.is_file()]


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


OVERLOADS = 2 * len(DTYPES)


def test_eight_processes_fill_an_empty_cache_and_none_computes_wrongly(runs):
    runs(PROCESSES)
    kept = runs.files()
    assert len([path for path in kept if path.suffix == ".nbc"]) == OVERLOADS
    assert not [path for path in kept if ".tmp." in path.name]
    for hits, misses in runs(2):  # what they left is right and complete
        assert (hits, misses) == (OVERLOADS, 0)


def test_a_changed_kernel_is_compiled_anew(runs):
    assert runs() == [[0, OVERLOADS]]
    (runs.folder / "kernels_under_test.py").write_text(KERNELS + "# another size\n")
    assert runs() == [[0, OVERLOADS]]


@pytest.mark.parametrize("place", ["a file stands there", "nothing can be made there"])
def test_without_a_cache_folder_kernels_compile_in_memory(runs, place):
    taken = runs.folder / "taken"
    taken.touch()
    folder = {"a file stands there": taken, "nothing can be made there": "/proc/medimagenet"}[place]
    assert runs(MEDIMAGENET_CACHE_DIR=str(folder)) == [[0, OVERLOADS]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_folder_is_left_alone(runs):
    runs.cache.mkdir(mode=0o555)
    assert runs() == [[0, OVERLOADS]]
    assert not runs.files()


def test_a_full_disk_only_costs_time(runs):
    assert runs(limit="full disk") == [[0, OVERLOADS]]
    assert not [path for path in runs.files() if path.stat().st_size]


def test_a_cut_cache_only_costs_time(runs):
    runs()
    for path in runs.files():
        path.write_bytes(path.read_bytes()[:40])
    assert runs() == [[0, OVERLOADS]]


def test_the_same_in_plain_python(runs):
    assert runs(NUMBA_DISABLE_JIT="1") == [None]
    assert not runs.files()


@kernel
def divide(values, by):
    return values / by


@kernel
def count_nan(values):
    found = 0
    for value in values:
        if value != value:  # with fastmath the compiler may say that this never is
            found += 1
    return found


@kernel
def spin(steps):
    state = np.uint64(1)
    for _ in range(steps):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
    return state


def test_division_by_zero_is_numpy_s():
    with np.errstate(divide="ignore", invalid="ignore"):
        result = divide(np.array([1.0, -1.0, 0.0]), np.array([0.0, 0.0, 0.0]))
    np.testing.assert_array_equal(result, [np.inf, -np.inf, np.nan])


def test_nan_is_seen():
    assert count_nan(np.array([0.0, np.nan, np.inf, np.nan])) == 2


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python holds the interpreter lock")
def test_other_threads_run_meanwhile():
    spin(1)
    thread = threading.Thread(target=spin, args=(300_000_000,))
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10  # 1 where the lock is held


LIBC = ctypes.CDLL(None)
call_labs = c_function("int64", "int64")
call_memcmp = c_function("int32", "intp", "intp", "intp")


@kernel
def sum_of_absolutes(address, values):
    total = 0
    for value in values:
        total += call_labs(address, (value,))
    return total


@kernel
def compare(address, one, other, length):
    return call_memcmp(address, (one.ctypes.data, other.ctypes.data, length))


def address_of(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def test_a_kernel_calls_a_c_function_by_its_address():
    assert sum_of_absolutes(address_of(LIBC.labs), np.array([1, -2, 3, -(2**40)])) == 6 + 2**40


def test_arguments_are_cast_to_what_c_declares():
    """Values of 8, 16 and 32 bits arrive as int64, with their sign; lengths of any width as size_t."""
    for dtype in (np.int8, np.int16, np.int32, np.uint8):
        values = np.array([-3, 4]).astype(dtype)
        assert sum_of_absolutes(address_of(LIBC.labs), values) == int(np.abs(values.astype(np.int64)).sum())
    one, other = np.arange(10, dtype=np.uint8), np.arange(10, dtype=np.uint8)
    other[7] = 0
    memcmp = address_of(LIBC.memcmp)
    assert compare(memcmp, one, other, np.int32(7)) == 0
    assert compare(memcmp, one, other, np.uint8(8)) > 0
    assert compare(memcmp, other, one, 8) < 0


LOADED = """
import sys
import numpy as np
from kernels_under_test import weigh
assert weigh(np.arange(1.0, 6)) == 55
loaded = sorted({"scipy.linalg", "numba.np.linalg"} & set(sys.modules))
import numba
assert numba.njit(lambda matrix: np.dot(matrix, matrix).sum())(np.eye(3)) == 3  # what needs them finds them
print(json.dumps([loaded, sum(weigh.stats.cache_hits.values()) if hasattr(weigh, "stats") else 0]))
"""


def test_kept_code_is_loaded_without_what_compiles(tmp_path):
    (tmp_path / "kernels_under_test.py").write_text(KERNELS)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "MEDIMAGENET_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", f"import json{LOADED}"]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    loaded, hits = json.loads(runs[-1].stdout)
    assert loaded == []
    assert hits == (0 if numba.config.DISABLE_JIT else 1)
