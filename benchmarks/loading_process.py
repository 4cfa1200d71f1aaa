"""One training process of `benchmarks.loading`: how soon its first batch comes, as one line of JSON.

    python -m benchmarks.loading_process STORE RANK RANKS

After its batches it waits for a line on stdin, so that processes can be looked at while all of them are there.
"""

import json
import sys
import time
from itertools import islice
from pathlib import Path

import torch

from medimagenet.loading import PatchLoader

BATCH, BATCHES, PATCH = 2, 300, 96


def main() -> None:
    store, rank, ranks = Path(sys.argv[1]), *map(int, sys.argv[2:4])
    torch.set_num_threads(1)
    start = time.perf_counter()
    loader = PatchLoader(
        store,
        patch_size=(PATCH,) * 3,
        batch_size=BATCH,
        patches_per_epoch=10**9,
        foreground=0.5,
        rank=rank,
        ranks=ranks,
    )
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    for _ in islice(batches, BATCHES):
        pass
    print(json.dumps({"first_s": first}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
