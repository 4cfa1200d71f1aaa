"""Decoding of a CT by MONAI and med-imagetools, which have an environment of their own: times and the voxels of each.

python decode_series.py FOLDER OUT ROUNDS. Prints {"MONAI ITKReader": [seconds, ...], ...}; the first result of each is
left in OUT as its name .npy, (Z, Y, X).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK
from imgtools.io.readers import read_dicom_series
from monai.data import ITKReader, PydicomReader


def main() -> None:
    folder, out, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    works = {
        "MONAI ITKReader": lambda: by_monai(ITKReader(), folder),
        "MONAI PydicomReader": lambda: by_monai(PydicomReader(), folder),
        "med-imagetools": lambda: SimpleITK.GetArrayFromImage(read_dicom_series(str(folder))[0]),
    }
    times = {}
    for name, run in works.items():
        voxels = np.asarray(run())  # the first also fills the caches
        if (voxels == (whole := voxels.astype(np.int16))).all():  # some give float64
            voxels = whole
        np.save(out / f"{name}.npy", voxels)
        times[name] = []
        for _ in range(rounds):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    print(json.dumps(times))


def by_monai(reader: ITKReader | PydicomReader, folder: Path) -> np.ndarray:
    voxels, _ = reader.get_data(reader.read(str(folder)))
    return np.asarray(voxels).T


if __name__ == "__main__":
    main()
