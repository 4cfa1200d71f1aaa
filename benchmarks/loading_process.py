"""One training process of `benchmarks.loading`: what its first batch costs, and its memory, as one line of JSON.

    python -m benchmarks.loading_process STORE PATCH BATCHES RANK RANKS

After its batches it waits for a line on stdin, so that processes can be looked at while all of them are there.
"""

import json
import sys
import time
from pathlib import Path

import torch

from medimagenet.loading import PatchLoader

BATCH = 2


def main() -> None:
    store, patch, batches, rank, ranks = sys.argv[1], *map(int, sys.argv[2:6])
    torch.set_num_threads(1)
    start = time.perf_counter()
    loader = PatchLoader(
        store,
        patch_size=(patch,) * 3,
        batch_size=BATCH,
        patches_per_epoch=10**9,
        foreground=0.5,
        rank=rank,
        ranks=ranks,
    )
    peak, first = 0, 0.0
    for number, _ in enumerate(loader):
        first = first or time.perf_counter() - start
        if number % 16 == 0:
            peak = max(peak, anonymous())
        if number == batches:
            break
    print(json.dumps({"first_s": first, "anonymous_bytes": max(peak, anonymous())}), flush=True)
    sys.stdin.readline()
    print(json.dumps({"file_bytes": file_backed()}), flush=True)
    sys.stdin.readline()


def anonymous() -> int:
    """RssAnon + RssShmem of this process (it has no children), bytes."""
    return _sum(Path("/proc/self/status"), ("RssAnon:", "RssShmem:"))


def file_backed() -> int:
    """Pages of files that are mapped, those that several processes share divided among them, bytes."""
    return _sum(Path("/proc/self/smaps_rollup"), ("Pss_File:",))


def _sum(path: Path, names: tuple[str, ...]) -> int:
    return sum(1024 * int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(names))


if __name__ == "__main__":
    main()
