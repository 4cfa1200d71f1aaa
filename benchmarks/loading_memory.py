"""Memory of whole training processes, and how soon their first batch comes: part of `benchmarks.loading`."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import loading_data as data
from . import rows
from .measure import SAMPLE_S, tree

AREA = "loading"
ANONYMOUS_MB, FILE_RATIO, FIRST_S, CACHED = 600, 1.1, 1.0, 8
MONAI = ("MONAI CacheDataset", "MONAI CacheDataset, float32 label", "MONAI CacheDataset, indices cached")
"""Entries of `loading_monai.CACHES`, which this module does not import: MONAI may be elsewhere."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _OF_A_FILE = 1 << 63, 1 << 61

Row = dict[str, Any]


def memory(store: Path, place: Path, count: int, peers: Path) -> list[Row]:
    """Rows: memory of whole processes, and their first batch after the imports, kernels cached and not.

    MONAI's process runs in the environment of the peers, where it is there: it imports TensorFlow where it finds it.
    """
    many = data.link_samples(store, place / "many.zarr", -(-2400 // count))
    single, large, both = _ours(store, 1), _ours(many, 1), _ours(store, 2)
    own = {rows.OURS: single.peak_bytes / 1e6}
    for name in MONAI:
        own[name] = _processes([["benchmarks.loading_monai", str(place), name]], python=_python(peers)).peak_bytes / 1e6
    found = rows.compare(AREA, f"anonymous memory, {count} volumes", own, "MB", None)
    least = min(found[1:], key=lambda row: row["value"])
    least["goal"], least["met"] = CACHED, least["ratio"] >= CACHED
    found[0]["goal"], found[0]["met"] = ANONYMOUS_MB, own[rows.OURS] <= ANONYMOUS_MB
    for work, value, unit, limit in (
        ("anonymous memory, 2,400 volumes", large.peak_bytes / 1e6, "MB", ANONYMOUS_MB),
        ("file-backed memory, two ranks over one", both.file_bytes / single.file_bytes, "x", FILE_RATIO),
        ("first batch after the imports", single.said[0]["first_s"], "s", FIRST_S),
        ("first batch after the imports, 2,400 volumes", large.said[0]["first_s"], "s", FIRST_S),
    ):
        row = rows.alone(AREA, work, value, unit)
        row["goal"], row["met"] = limit, value <= limit
        found.append(row)
    with tempfile.TemporaryDirectory() as cache:
        fresh = _ours(store, 1, MEDIMAGENET_CACHE_DIR=cache).said[0]["first_s"]
    found.append(rows.alone(AREA, "first batch after the imports, kernels not yet compiled", fresh, "s"))
    return found


def _python(peers: Path) -> Path | str:
    program = peers / "bin" / "python"
    return program if program.is_file() else sys.executable


@dataclass(frozen=True, slots=True)
class _Processes:
    """What processes said when they had their batches, and their memory."""

    said: list[dict[str, float]]
    peak_bytes: int
    """Largest sum of anonymous memory, from their start on."""
    file_bytes: int
    """Of files that they mapped when they had their batches."""


def _ours(store: Path, ranks: int, **environment: str) -> _Processes:
    """A training process per rank, some hundred batches each."""
    commands = [["benchmarks.loading_process", str(store), str(rank), str(ranks)] for rank in range(ranks)]
    return _processes(commands, **environment)


def _processes(modules: Sequence[Sequence[str]], python: Path | str = sys.executable, **environment: str) -> _Processes:
    """Run modules beside each other until each has said a line."""
    started = [
        subprocess.Popen(
            [python, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        for words in modules
    ]
    pids = [process.pid for process in started]
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(lambda: sum(map(anonymous_bytes, pids)), peak, stop))
    watcher.start()
    lines = [process.stdout.readline() for process in started if process.stdout]
    stop.set()
    watcher.join()
    if not all(lines):
        raise SystemExit(f"{' '.join(modules[0])} failed")
    files = mapped_file_bytes(pids)
    for process in started:
        process.communicate("\n")
    return _Processes([json.loads(line) for line in lines], peak[0], files)


def _watch(look: Callable[[], int], peak: list[int], stop: threading.Event) -> None:
    while not stop.is_set():
        peak[0] = max(peak[0], look())
        time.sleep(SAMPLE_S)


def anonymous_bytes(pid: int) -> int:
    """RssAnon + RssShmem of a process and its children, bytes; what a child shares with its parent counts twice."""
    found = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:  # it has ended since
            continue
        found += sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return found


def mapped_file_bytes(pids: Sequence[int]) -> int:
    """Bytes of files that processes hold mapped, a page that several of them map counted once.

    Proportional set sizes would not do: pages of the libraries that any other process maps count for less.
    """
    pages: dict[tuple[str, str], list[np.ndarray]] = {}
    for pid in pids:
        with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, _, offset, device, inode = line.split()[:5]
                if inode == "0":
                    continue
                begin, end = (int(text, 16) // _PAGE for text in span.split("-"))
                pagemap.seek(8 * begin)
                entries = np.frombuffer(pagemap.read(8 * (end - begin)), dtype="<u8")
                wanted = np.uint64(_PRESENT | _OF_A_FILE)
                found = np.flatnonzero(entries & wanted == wanted) + int(offset, 16) // _PAGE
                pages.setdefault((device, inode), []).append(found)
    return _PAGE * sum(len(np.unique(np.concatenate(found))) for found in pages.values())
