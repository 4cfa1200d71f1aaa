"""One training process of `benchmarks.loading`: what its first batch costs, and its memory, as one line of JSON.

    python -m benchmarks.loading_process ours STORE RANK RANKS
    python -m benchmarks.loading_process monai FOLDER RANK RANKS

After its batches it waits for a line on stdin, so that processes can be looked at while all of them are there.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from medimagenet.loading import PatchLoader

BATCH, PATCH = 2, 96
BATCHES = {"ours": 300, "monai": 12}


def main() -> None:
    kind, place, rank, ranks = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5])
    torch.set_num_threads(1)
    start = time.perf_counter()
    batches = _ours(place, rank, ranks) if kind == "ours" else _monai(place)
    peak, first = 0, 0.0
    for number, _ in enumerate(batches):
        first = first or time.perf_counter() - start
        if number % 4 == 0:
            peak = max(peak, anonymous())
        if number == BATCHES[kind]:
            break
    print(json.dumps({"first_s": first, "anonymous_bytes": max(peak, anonymous())}), flush=True)
    sys.stdin.readline()


def _ours(store: Path, rank: int, ranks: int) -> Iterator[Any]:
    return iter(
        PatchLoader(
            store,
            patch_size=(PATCH,) * 3,
            batch_size=BATCH,
            patches_per_epoch=10**9,
            foreground=0.5,
            rank=rank,
            ranks=ranks,
        )
    )


def _monai(folder: Path) -> Iterator[Any]:
    """One process, which needs least: workers have pages of their own beside it."""
    from .loading_monai import cached_in_memory, monai_batches

    return monai_batches(cached_in_memory(folder), PATCH, 1, 0)


def anonymous() -> int:
    """RssAnon + RssShmem of this process (it has no children), bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


if __name__ == "__main__":
    main()
