"""Every exception of the package, in one tree.

A wrong argument is ``ValueError``; a world that is not as expected is one of these::

    MedImageNetError
    ├── SourceError            an archive, a folder or a network did not give what was asked for
    │   ├── HttpError          a server answered that it will not; `status` says how
    │   └── UnreachableError   a server does not answer: a network, a name or a server is down
    ├── LicenseError           data whose licence or agreement has to be accepted first
    ├── IndexFileError         an index file is missing, cut, of another format or empty
    ├── DicomError             a DICOM object cannot be decoded
    │   ├── GeometryError      its slices do not form the volume that was asked for
    │   └── NiftiError         a NIfTI file cannot be decoded, or does not fit its image
    ├── RecipeError            a recipe is wrong: unknown key, wrong value, a class that matches nothing
    │   └── GridTooLargeError  it asks of a sample for more voxels than are made
    ├── StoreError             a store cannot be read or written
    │   ├── StoreExistsError   the output path is taken
    │   ├── StoreFormatError   the store is of a format that this version does not know
    │   └── StoreDamagedError  bytes are missing or differ from their hash
    ├── ExportError            files cannot be written, or the place for them is taken
    └── MissingPackageError    an optional package is not installed (also an ImportError)

Messages say what failed, with which value, where, and what to do. They never carry a patient's name or ID.
"""

from collections.abc import Sequence
from typing import Any


class MedImageNetError(Exception):
    """Base of all errors of this package."""


class SourceError(MedImageNetError):
    """An archive, a folder or a network did not give what was asked for."""


class HttpError(SourceError):
    """A server answered that it will not give what was asked for. `status` is its status code, such as 404."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(SourceError):
    """A server does not answer: a network, a name or a server is down."""


class LicenseError(MedImageNetError):
    """Data whose licence or agreement has to be accepted first."""


class IndexFileError(MedImageNetError):
    """An index file is missing, cut, of another format or empty."""


class DicomError(MedImageNetError):
    """A DICOM object cannot be decoded.

    `findings` are what is known about the reason, as `findings.Finding` values, for tables and reports.
    """

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class GeometryError(DicomError):
    """The slices of a series do not form the volume that was asked for."""


class NiftiError(DicomError):
    """A NIfTI file cannot be decoded, or does not fit its image. Caught where a `DicomError` is: it is an input too."""


class RecipeError(MedImageNetError):
    """A recipe is wrong: an unknown key, a wrong value, a class that matches nothing."""


class GridTooLargeError(RecipeError):
    """A recipe asks of a sample for more voxels than are made. The sample is left out: another may fit."""


class StoreError(MedImageNetError):
    """A store cannot be read or written."""


class StoreExistsError(StoreError):
    """The output path is taken by something that must not be overwritten."""


class StoreFormatError(StoreError):
    """The store is of a format that this version does not know."""


class StoreDamagedError(StoreError):
    """Bytes of a store are missing or differ from their hash."""


class ExportError(MedImageNetError):
    """Files cannot be written, or the place for them is taken by something else."""


class MissingPackageError(MedImageNetError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
