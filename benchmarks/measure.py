"""Time and memory of whole programs, in fresh processes."""

import math
import mmap
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("numpy", "numba", "pydicom", "SimpleITK", "zarr", "pyarrow")
SAMPLE_S = 0.02
"""Between two looks at the memory of a process tree."""


HELD_BYTES = 1 << 29
"""More than any result that is timed inside a process, but those of peers that compute in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One program on one data set."""

    who: str
    command: Sequence[str]
    prepare: Callable[[], object] = field(default=lambda: None)
    """Called before each run, not timed: removes the output of the run before."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    seconds: float
    """Median wall time, start of the process included."""
    peak_bytes: int


def run(contender: Contender) -> float:
    """Seconds of one run, which must succeed."""
    contender.prepare()
    start = time.perf_counter()
    done = subprocess.run(
        list(contender.command), env={**os.environ, **contender.environment}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{contender.who} failed ({done.returncode}): {done.stderr[-2000:]}")
    return seconds


def hold_memory() -> None:
    """Touch and release memory, before a call inside this process is timed.

    A virtual machine gives free memory back to its host. To get it again takes ten times as long as memory that is
    there, and would be charged to whoever allocates next after a peer has freed much.
    """
    with mmap.mmap(-1, HELD_BYTES) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for place in range(0, HELD_BYTES, mmap.PAGESIZE):
            memory[place] = 1


def peak_memory(contender: Contender) -> int:
    """Largest sum over the process tree of each process's proportional set size (shared pages count once), bytes.

    A run of its own: looking costs time.
    """
    contender.prepare()
    process = subprocess.Popen(
        list(contender.command),
        env={**os.environ, **contender.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_proportional_set_size, tree(process.pid))))
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"{contender.who} failed ({process.returncode}) while its memory was measured")
    return peak


def tree(root: int) -> list[int]:
    """A process and all that come from it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        except OSError:  # it has ended since
            continue
        for task in tasks:
            try:
                waiting += map(int, task.read_text().split())
            except OSError:  # it has ended since
                continue
    return found


def _proportional_set_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended since
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    seconds: float = math.inf,
    check: Callable[[], object] = lambda: None,
) -> dict[str, Measured]:
    """Each contender once for its memory, which also warms all caches, then `rounds` times in turn for its time.

    One that would take longer than `seconds` in all runs fewer times, at least once. `check` is called when all have
    written their output and before any is timed.
    """
    peaks: dict[str, int] = {}
    allowed: dict[str, int] = {}
    for contender in contenders:
        start = time.perf_counter()
        peaks[contender.who] = peak_memory(contender)
        allowed[contender.who] = max(1, math.floor(min(rounds, seconds / (time.perf_counter() - start))))
    check()
    times: dict[str, list[float]] = {contender.who: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            if number < allowed[contender.who]:
                times[contender.who].append(run(contender))
    return {who: Measured(seconds=statistics.median(times[who]), peak_bytes=peaks[who]) for who in peaks}


def machine() -> dict[str, object]:
    """The machine in words: nothing that names it."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    cpu = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(pages * page / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def versions() -> dict[str, str]:
    """Of us and of what does the work."""
    return {name: version(name) for name in ("medimagenet", *PACKAGES)}


def our_program() -> str:
    """The console script of the environment that runs this."""
    return str(Path(sys.executable).with_name("medimagenet"))


def imgtools(peers: Path) -> str | None:
    """med-imagetools' program in the environment of the peers, where there is one."""
    program = peers / "bin" / "imgtools"
    if program.is_file():
        return str(program)
    print(f"no {program}: med-imagetools is left out; `make bench` installs it", file=sys.stderr)
    return None


def imgtools_version(program: str) -> str:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return answer.split(":")[-1].strip()
