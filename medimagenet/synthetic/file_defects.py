"""Defects of files and identities. Each function plants one."""

import shutil

import numpy as np

from .edit import edited, leading_slices
from .truth import PatientTruth


def truncated_file(truth: PatientTruth) -> None:
    """Cut the middle slice in the middle of its pixels."""
    paths = leading_slices(truth)
    middle = paths[len(paths) // 2]
    whole = middle.read_bytes()
    pixels = 2 * int(np.prod(truth.grids[truth.leading].size[:2]))
    middle.write_bytes(whole[: len(whole) - pixels // 2])


def unreadable_file(truth: PatientTruth) -> None:
    """Keep the preamble of the middle slice and spoil the rest."""
    paths = leading_slices(truth)
    middle = paths[len(paths) // 2]
    middle.write_bytes(middle.read_bytes()[:132] + b"\xff" * 500)


def not_dicom(truth: PatientTruth) -> None:
    """Put files beside the slices that are not DICOM: a text, an empty file, a table and a text named .dcm."""
    folder = leading_slices(truth)[0].parent
    (folder / "README.txt").write_text("Exported for research.\n")
    (folder / "empty").write_bytes(b"")
    (folder / "measurements.csv").write_text("organ,volume_mm3\nliver,1\n")
    (folder / "notes.dcm").write_text("This is not an image.\n")


def duplicate_file(truth: PatientTruth) -> None:
    """Copy the middle slice, byte for byte, to another name."""
    paths = leading_slices(truth)
    middle = paths[len(paths) // 2]
    shutil.copyfile(middle, middle.with_name("copy.dcm"))


def repeated_uid(truth: PatientTruth) -> None:
    """Copy the leading series to another folder and change a pixel: two contents under the same UIDs."""
    folder = leading_slices(truth)[0].parent
    other = folder.with_name(f"{folder.name}_again")
    shutil.copytree(folder, other)
    with edited(min(other.iterdir())) as ds:
        ds.PixelData = bytes([ds.PixelData[0] ^ 1]) + ds.PixelData[1:]


def shuffled_names(truth: PatientTruth) -> None:
    """Let neither file names nor instance numbers follow the position. All stays well."""
    paths = leading_slices(truth)
    order = np.random.default_rng(0).permutation(len(paths))
    contents = [path.read_bytes() for path in paths]
    for path, source in zip(paths, order, strict=True):
        path.write_bytes(contents[source])
        with edited(path) as ds:
            ds.InstanceNumber = int(order[source]) + 1
