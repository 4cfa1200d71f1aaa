"""Headers of a folder by GDCM's scanner, in the environment of the peers: a table of series, and the seconds it took.

python gdcm_scan.py FOLDER OUT.csv
"""

import csv
import os
import sys
import time
from collections import Counter
from pathlib import Path

import gdcm

TAGS = [
    (0x0010, 0x0020), (0x0010, 0x0040), (0x0010, 0x1010), (0x0020, 0x000D), (0x0008, 0x0020), (0x0008, 0x1030),
    (0x0020, 0x000E), (0x0020, 0x0011), (0x0008, 0x0021), (0x0008, 0x103E), (0x0008, 0x0060), (0x0008, 0x0016),
    (0x0008, 0x0018), (0x0018, 0x0015), (0x0008, 0x0070), (0x0008, 0x1090), (0x0020, 0x0052), (0x0018, 0x0050),
    (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0030), (0x0020, 0x0032), (0x0020, 0x0037),
]  # fmt: skip
SERIES, MODALITY = gdcm.Tag(0x0020, 0x000E), gdcm.Tag(0x0008, 0x0060)


def main() -> None:
    folder, out = sys.argv[1:]
    start = time.perf_counter()
    scanner = gdcm.Scanner()
    for tag in TAGS:
        scanner.AddTag(gdcm.Tag(*tag))
    paths = [str(Path(parent, name)) for parent, _, names in os.walk(folder) for name in names]
    if not scanner.Scan(gdcm.FilenamesType(paths)):
        raise SystemExit("GDCM cannot scan")
    found = Counter(
        (scanner.GetValue(path, SERIES), scanner.GetValue(path, MODALITY)) for path in paths if scanner.IsKey(path)
    )
    with Path(out).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["SeriesInstanceUID", "Modality", "n_instances"])
        table.writerows((*key, count) for key, count in found.items())
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
