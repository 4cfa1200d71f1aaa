"""The index as one writes it with pydicom alone: read the tags of each file, group by series, write a table.

python pydicom_index.py FOLDER OUT.csv [PROCESSES]. Prints the seconds it took, imports not counted.
"""

import csv
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pydicom

TAGS = [
    "PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "StudyDescription", "SeriesInstanceUID",
    "SeriesNumber", "SeriesDate", "SeriesDescription", "Modality", "SOPClassUID", "SOPInstanceUID", "BodyPartExamined",
    "Manufacturer", "ManufacturerModelName", "FrameOfReferenceUID", "SliceThickness", "Rows", "Columns", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "StructureSetROISequence", "ReferencedFrameOfReferenceSequence",
]  # fmt: skip
SERIES = ["SeriesInstanceUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesDescription", "Manufacturer"]


def read(path: Path) -> dict | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    except pydicom.errors.InvalidDicomError:
        return None
    row = {name: str(header.get(name, "")) for name in TAGS if not name.endswith("Sequence")}
    row["rois"] = [str(item.ROIName) for item in header.get("StructureSetROISequence", [])]
    return row


def main(folder: Path, out: Path, processes: int | None) -> None:
    start = time.perf_counter()
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    if processes == 1:
        rows = [row for row in map(read, paths) if row]
    else:
        with ProcessPoolExecutor(processes) as pool:
            rows = [row for row in pool.map(read, paths, chunksize=64) if row]
    series = defaultdict(list)
    for row in rows:
        series[row["SeriesInstanceUID"]].append(row)
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*SERIES, "n_instances"])
        for group in series.values():
            table.writerow([*(group[0][name] for name in SERIES), len(group)])
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
