"""Resampling by nnU-Net and TorchIO, which have an environment of their own: times and results of each.

python resample_volumes.py FOLDER ROUNDS, where FOLDER holds voxels.npy, labels.npy and work.json {"shape": [Z, Y, X],
"steps": [z, y, x]}. Prints {"nnU-Net cubic": [seconds, ...], ...}; the first result of each is left as its name .npy.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torchio
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

THREADS = 2


def main() -> None:
    torch.set_num_threads(THREADS)
    torchio.utils.sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    voxels, labels = np.load(folder / "voxels.npy"), np.load(folder / "labels.npy")
    work = json.loads((folder / "work.json").read_text())
    shape, steps = work["shape"], work["steps"]
    exact = voxels.astype(np.float32)[None]
    image = torchio.ScalarImage(tensor=torch.from_numpy(voxels.transpose(2, 1, 0).copy())[None])
    target = (shape[::-1], np.diag([*steps[::-1], 1.0]))
    works = {
        "nnU-Net cubic": lambda: resample_data_or_seg(exact, shape, order=3)[0],
        "nnU-Net labels": lambda: resample_data_or_seg(labels[None], shape, is_seg=True, order=1)[0],
        "TorchIO linear": lambda: by_torchio(image, target),
    }
    times = {}
    for name, run in works.items():
        times[name] = []
        for turn in range(rounds):
            start = time.perf_counter()
            result = run()
            times[name].append(time.perf_counter() - start)
            if turn == 0:
                np.save(folder / f"{name}.npy", result)
    print(json.dumps(times))


def by_torchio(image: torchio.ScalarImage, target: tuple) -> np.ndarray:
    return torchio.Resample(target)(image).data[0].numpy().transpose(2, 1, 0)


if __name__ == "__main__":
    main()
