"""Memory of whole training processes, and how soon their first batch comes: part of `benchmarks.loading`."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import loading_data as data
from . import rows

AREA = "loading"
ANONYMOUS_MB, FILE_RATIO, FIRST_S, CACHED = 600, 1.1, 1.0, 8
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _OF_A_FILE = 1 << 63, 1 << 61

Row = dict[str, Any]


def memory(store: Path, place: Path, count: int) -> list[Row]:
    """Rows: memory of whole processes, and their first batch after the imports, kernels cached and not."""
    many = data.link_samples(store, place / "many.zarr", -(-2400 // count))
    (single,), single_file = _processes(["ours", store], 1)
    (large,), _ = _processes(["ours", many], 1)
    _, both_file = _processes(["ours", store], 2)
    (cached,), _ = _processes(["monai", place], 1)
    own = {rows.OURS: single["anonymous_bytes"] / 1e6, "MONAI CacheDataset": cached["anonymous_bytes"] / 1e6}
    found = rows.compare(AREA, f"anonymous memory, {count} volumes", own, "MB", CACHED)
    found[0]["goal"], found[0]["met"] = ANONYMOUS_MB, own[rows.OURS] <= ANONYMOUS_MB
    for work, value, unit, limit in (
        ("anonymous memory, 2,400 volumes", large["anonymous_bytes"] / 1e6, "MB", ANONYMOUS_MB),
        ("file-backed memory, two ranks over one", both_file / single_file, "x", FILE_RATIO),
        ("first batch after the imports", single["first_s"], "s", FIRST_S),
        ("first batch after the imports, 2,400 volumes", large["first_s"], "s", FIRST_S),
    ):
        row = rows.alone(AREA, work, value, unit)
        row["goal"], row["met"] = limit, value <= limit
        found.append(row)
    with tempfile.TemporaryDirectory() as cache:
        (fresh,), _ = _processes(["ours", store], 1, MEDIMAGENET_CACHE_DIR=cache)
    found.append(rows.alone(AREA, "first batch after the imports, kernels not yet compiled", fresh["first_s"], "s"))
    return found


def _processes(what: Sequence[Path | str], ranks: int, **environment: str) -> tuple[list[dict[str, float]], int]:
    """A training process per rank, some hundred batches each: what they say, and the files that they then map."""
    command = [sys.executable, "-m", "benchmarks.loading_process", *map(str, what)]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(ranks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        for rank in range(ranks)
    ]
    lines = [process.stdout.readline() for process in started if process.stdout]
    if not all(lines):
        raise SystemExit(f"a process of {what[0]} failed")
    files = mapped_file_bytes([process.pid for process in started])
    for process in started:
        process.communicate("\n")
    return [json.loads(line) for line in lines], files


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
