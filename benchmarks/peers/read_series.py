"""Series read by MONAI's ITKReader and med-imagetools, which have an environment of their own.

python read_series.py TASKS.json, a list of {"id", "folder", "uid", "files", "out"}. Each reader leaves OUT-READER.npz
with `array` (Z, Y, X) or (C, Z, Y, X) and `affine` (x, y, z index to LPS mm), or OUT-READER.txt with why it failed.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")


def main() -> None:
    for task in json.loads(Path(sys.argv[1]).read_text()):
        for reader, read in (("MONAI", by_monai), ("med-imagetools", by_imgtools)):
            out = f"{task['out']}-{reader}"
            try:
                array, affine = read(task)
                np.savez(f"{out}.npz", array=np.asarray(array), affine=np.asarray(affine, float))
            except Exception as error:
                Path(f"{out}.txt").write_text(f"{type(error).__name__}: {error}"[:200])


def by_monai(task: dict) -> tuple[np.ndarray, np.ndarray]:
    import itk
    from monai.data import ITKReader

    name, where = "", task["files"][0]
    if len(task["files"]) > 1:  # what MONAI calls a series is GDCM's identifier: the UID and details of the geometry
        where = task["folder"]
        listing = itk.GDCMSeriesFileNames.New()
        listing.SetUseSeriesDetails(True)
        listing.AddSeriesRestriction("0008|0021")  # as MONAI does
        listing.SetDirectory(where)
        name = next(each for each in listing.GetSeriesUIDs() if each.startswith(task["uid"]))
    reader = ITKReader(affine_lps_to_ras=False, series_name=name)
    array, meta = reader.get_data(reader.read(where))
    return array.T if array.ndim == 3 else np.moveaxis(array, -1, 0).transpose(0, 3, 2, 1), meta["affine"]


def by_imgtools(task: dict) -> tuple[np.ndarray, np.ndarray]:
    import SimpleITK
    from imgtools.io.readers import read_dicom_series

    single = {"file_names": task["files"]} if len(task["files"]) == 1 else {}
    image, _ = read_dicom_series(task["folder"], series_id=task["uid"], **single)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image), affine


if __name__ == "__main__":
    main()
