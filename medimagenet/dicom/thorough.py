"""Header scan of any DICOM file, by pydicom: what `quick` does not take on, and the judge of what it does.

Nothing of pydicom leaves this module, and no other of the scan imports it: loading it takes as long as reading
thousands of headers.
"""

import hashlib
import os
import stat
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread, read_partial
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from ..findings import Finding
from .extent import PIXEL_TAGS, UNDEFINED_LENGTH, missing_pixels
from .instance import HASH_LENGTH, SCAN_KEYWORDS, FileProblem, InstanceHeader
from .nested import DEEP_KEYWORDS, OTHER_KEYWORDS, REFERENCE_KEYWORDS, flatten_names, flatten_references, flatten_tracer

_KEYWORDS = (*SCAN_KEYWORDS, *REFERENCE_KEYWORDS, *OTHER_KEYWORDS)
_FIRST_GROUPS = (2, 8)  # of a data set: file meta information, or identification
_BLOCK = 1 << 20  # bytes
_EVIDENCE = ("SOPClassUID", "SeriesInstanceUID", "Modality")  # that bytes without the magic word are DICOM after all
_ELEMENT_HEAD = 8  # bytes of the tag and length of any element, at least
_CONTAINERS = {
    b"PK\x03\x04": "a zip archive; unpack it to index what is inside",
    b"\x1f\x8b": "compressed with gzip; unpack it to index what is inside",
}


@dataclass(slots=True)
class _Progress:
    """What was passed on the way through the top level of a data set."""

    stream: BinaryIO
    size: int
    end: int = 0
    overrun: str | None = None
    pixels: tuple[int, int, int] | None = None
    """Where the pixel data element begins, where its value begins, its length."""

    def stop(self, tag: int, vr: str | None, length: int) -> bool:
        """Called by pydicom before it reads a value: note where it ends, stop at pixel data."""
        start = self.stream.tell()
        if tag in PIXEL_TAGS:
            head = 12 if vr in ("OB", "OW", "OF", "OD", "UN") else 8
            self.pixels = (start - head, start, length)
            return True
        self.end = self.size if length == UNDEFINED_LENGTH else start + length
        if self.end > self.size and self.overrun is None:
            self.overrun = f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) ends at byte {self.end} of {self.size}"
        return False

    def cut(self) -> str | None:
        """What tells that the header goes on behind the end of the file."""
        if self.overrun is None and self.pixels is None and 0 < self.size - self.end < _ELEMENT_HEAD and self.end:
            return f"an element begins at byte {self.end} of {self.size}"
        return self.overrun


def read_thoroughly(path: Path | str) -> InstanceHeader | FileProblem:
    """Read the header of one file, with any name, with or without preamble.

    Returns
    -------
    header : InstanceHeader
        Or a `FileProblem`, whose finding is `not_dicom`, `dicomdir`, `unreadable_file`, `truncated_file` or
        `no_series_uid`. Never raises for what is in a file.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            return _problem(path, "not_dicom", "not a regular file")
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, about values that are odd: no concern of a scan
            return _read_stream(path, stream)
    except OSError as error:
        return _problem(path, "unreadable_file", f"cannot be opened: {error.strerror or error}")


def read_identity(path: Path) -> tuple[str, str] | None:
    """SeriesInstanceUID and SOPInstanceUID of a file that may be cut short; None where it does not hold both."""
    tags = ["SeriesInstanceUID", "SOPInstanceUID"]
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    except (InvalidDicomError, OSError, EOFError, ValueError, NotImplementedError):
        return None  # cut inside the header: nothing says what it was
    series, instance = (str(dataset.get(tag, "")) for tag in tags)
    return (series, instance) if series and instance else None


def _read_stream(path: Path, stream: BinaryIO) -> InstanceHeader | FileProblem:
    start = stream.read(132)
    problem = _foreign(start)
    if problem is not None:
        return _problem(path, "not_dicom", problem)
    progress = _Progress(stream, os.fstat(stream.fileno()).st_size)
    try:
        dataset = _read_dataset(stream, _KEYWORDS, progress)
        values = plain_values(dataset)
    except InvalidDicomError:
        return _problem(path, "not_dicom", "not a DICOM file")
    except Exception as error:  # pydicom raises nearly anything on bytes that are damaged
        return _damaged(path, start, progress, error)
    return _judge(path, start, progress, values) or _finish(path, stream, progress, values)


def _foreign(start: bytes) -> str | None:
    """Why a file that begins like this cannot be DICOM (DICOM PS3.10 7.1), None where it can."""
    if not start:
        return "empty file"
    for magic, text in _CONTAINERS.items():
        if start.startswith(magic):
            return text
    return None if _has_magic(start) or _begins_with_element(start) else "not a DICOM file"


def _has_magic(start: bytes) -> bool:
    return start[128:132] == b"DICM"


def _begins_with_element(start: bytes) -> bool:
    """Whether the first bytes are the tag of a data set without preamble, in either byte order."""
    return any(int.from_bytes(start[:2], order) in _FIRST_GROUPS for order in ("little", "big"))


def _read_dataset(stream: BinaryIO, keywords: tuple[str, ...], progress: _Progress) -> FileDataset:
    stream.seek(0)
    return read_partial(
        stream, stop_when=progress.stop, force=True, specific_tags=[Tag(keyword) for keyword in keywords]
    )


def _damaged(path: Path, start: bytes, progress: _Progress, error: Exception) -> FileProblem:
    """The finding for a file on which the reader gave up."""
    if (
        progress.overrun
        or isinstance(error, EOFError)
        or (isinstance(error, zlib.error) and "incomplete" in str(error))
    ):
        return _problem(path, "truncated_file", f"the file is cut short: {progress.overrun or error}")
    return _problem(path, "unreadable_file", f"DICOM that cannot be read ({type(error).__name__}: {str(error)[:200]})")


def _judge(path: Path, start: bytes, progress: _Progress, values: Mapping[str, Any]) -> FileProblem | None:
    """Why a file whose header could be read is in no series."""
    if values.get("SOPClassUID") == MediaStorageDirectoryStorage:
        return _problem(path, "dicomdir", "a DICOMDIR: its entries are found by walking the folder")
    if not _has_magic(start) and not any(keyword in values for keyword in _EVIDENCE):
        return _problem(path, "not_dicom", "not a DICOM file")
    cut = None if _is_deflated(values) else progress.cut()
    if cut:
        return _problem(path, "truncated_file", f"the file is cut short: {cut}")
    if "SeriesInstanceUID" in values:
        return None
    return _problem(path, "no_series_uid", "DICOM without SeriesInstanceUID (0020,000E): it belongs to no series")


def _finish(path: Path, stream: BinaryIO, progress: _Progress, values: dict[str, Any]) -> InstanceHeader | FileProblem:
    """Measure the pixel data, look for references in the deep sequences, hash."""
    header_end = progress.size
    if progress.pixels and not _is_deflated(values):
        header_end, value_start, length = progress.pixels
        missing = missing_pixels(stream, value_start, length, values)
        if missing:
            return _problem(path, "truncated_file", f"the file is cut short: {missing}")
    deep = DEEP_KEYWORDS.get(values.get("Modality", ""))
    if deep and "ReferencedSeriesUIDs" not in values:
        values = _with_deep_references(stream, deep, values)
    return InstanceHeader(
        file=str(path),
        size_bytes=progress.size,
        header_hash=_hash(stream, header_end),
        has_pixels=progress.pixels is not None,
        values=values,
    )


def _is_deflated(values: Mapping[str, Any]) -> bool:
    """Whether the data set is compressed as a whole (DICOM PS3.5 A.5): positions are not those of the file then."""
    return values.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian


def _with_deep_references(stream: BinaryIO, keywords: tuple[str, ...], values: dict[str, Any]) -> dict[str, Any]:
    try:
        dataset = _read_dataset(stream, keywords, _Progress(stream, 0))
        return {**flatten_references(dataset, keywords), **values}
    except Exception:  # the sequences are damaged: the object has no readable references, which is a finding later
        return values


def plain_values(dataset: Dataset) -> dict[str, Any]:
    """Every scanned value as plain Python; what is absent, empty or not convertible is left out."""
    values = {keyword: _value(dataset, keyword) for keyword in SCAN_KEYWORDS}
    meta = getattr(dataset, "file_meta", Dataset())  # JSON of DICOMweb has none
    values["TransferSyntaxUID"] = _plain(meta.get("TransferSyntaxUID"))
    if values["SOPClassUID"] is None:
        values["SOPClassUID"] = _plain(meta.get("MediaStorageSOPClassUID"))
    for flatten in (flatten_tracer, flatten_names, flatten_references):
        values.update(_flat(flatten, dataset))
    return {keyword: value for keyword, value in values.items() if value is not None}


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return _plain(dataset.get(keyword))
    except Exception:  # a value that its VR does not allow, such as a number of frames of "1A"
        return None


def _flat(flatten: Callable[[Dataset], Mapping[str, Any]], dataset: Dataset) -> dict[str, Any]:
    try:
        return {name: _plain(value) for name, value in flatten(dataset).items()}
    except Exception:  # a sequence that is damaged inside: the rest of the header stands
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, MultiValue | list | tuple):
        items = [_plain(item) for item in value]
        return ["" if item is None else item for item in items] if any(item is not None for item in items) else None
    if isinstance(value, float):  # also DS as pydicom's DSfloat
        return float(value)
    if isinstance(value, int):  # also IS as pydicom's IS
        return int(value)
    if value is None or isinstance(value, bytes):
        return None
    return str(value).strip() or None


def _hash(stream: BinaryIO, end: int) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    for start in range(0, end, _BLOCK):  # objects without pixel data are hashed whole, and may be large
        digest.update(stream.read(min(_BLOCK, end - start)))
    return digest.hexdigest()[:HASH_LENGTH]


def _problem(path: Path, code: str, message: str) -> FileProblem:
    return FileProblem(path, Finding(code=code, message=message))
