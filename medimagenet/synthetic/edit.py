"""Change files that were written: what all defects do."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from .scene import NAMESPACE
from .truth import PatientTruth

FEWEST_SLICES = 5


@contextmanager
def edited(path: Path) -> Iterator[Dataset]:
    """The data set of a file, written back in its transfer syntax at the end of the block."""
    ds = pydicom.dcmread(path)
    yield ds
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)


def leading_slices(truth: PatientTruth) -> Sequence[Path]:
    """Files of the leading image, by rising position.

    Raises
    ------
    ValueError
        There are fewer than `FEWEST_SLICES`: too few for a defect to be seen.
    """
    paths = truth.paths[truth.leading]
    if len(paths) < FEWEST_SLICES:
        raise ValueError(f"a defect needs at least {FEWEST_SLICES} slices, {truth.leading} has {len(paths)}")
    return paths


def next_uid(uid: str, why: str) -> str:
    """Another UID, made from one and a reason."""
    return f"2.25.{uuid.uuid5(NAMESPACE, f'{uid}/{why}').int}"
