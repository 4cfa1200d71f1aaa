"""What every source gives: one `SeriesRecord` per series, whose fields are the columns of the index.

A source that data can be fetched from also says, as `RemoteFile`, what to ask for and what must be true of the answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..findings import Finding

SINGLE_OBJECTS = frozenset(
    {
        *("RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTIMAGE", "PLAN", "SEG", "REG", "FID", "RWV"),
        *("SR", "KO", "PR", "DOC", "M3D", "STL", "ECG", "HD", "EPS", "AU"),
    }
)
"""Modalities whose instances are whole objects, not slices of something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRecord:
    """One row of an index.

    What DICOM has a keyword for is called by it and holds its value as text, None where absent, as users of idc-index
    know it. What is derived is snake_case.
    """

    key: str
    """Names this row and no other: UID, place and content."""
    source: str
    collection_id: str | None = None

    PatientID: str | None = None
    PatientSex: str | None = None
    PatientAge: str | None = None
    StudyInstanceUID: str | None = None
    StudyDate: str | None = None
    """YYYYMMDD, as DICOM writes it."""
    StudyDescription: str | None = None
    SeriesInstanceUID: str
    SeriesNumber: str | None = None
    SeriesDate: str | None = None
    SeriesDescription: str | None = None
    Modality: str | None = None
    SOPClassUID: str | None = None
    SOPInstanceUID: str | None = None
    """Only of objects that are one instance: RTSTRUCT, SEG, RTPLAN, RTDOSE, ..."""
    BodyPartExamined: str | None = None
    Manufacturer: str | None = None
    ManufacturerModelName: str | None = None
    TransferSyntaxUID: str | None = None
    FrameOfReferenceUID: str | None = None
    """Of an RTSTRUCT without its own: the first that it references."""
    SliceThickness: float | None = None
    """mm."""

    uri: str
    """Absolute folder; of a series in the cloud the address that its objects begin with, such as s3://bucket/uuid/."""
    files: tuple[str, ...]
    """Paths below `uri`, with forward slashes; images in the order of their stack. Empty where it must be asked for."""
    n_instances: int
    size_bytes: int
    content_hash: str
    """Of the headers of all files, whatever their names and order. Pixel data are not in it."""
    license: str | None = None
    doi: str | None = None
    referenced_series: tuple[str, ...] = ()
    """SeriesInstanceUIDs of what this object was made from."""
    referenced_instances: tuple[str, ...] = ()
    """SOPInstanceUIDs that an RTPLAN or RTDOSE refers to, and those of which no series is known."""
    roi_names: tuple[str, ...] = ()
    """ROIs of an RTSTRUCT, segments of a SEG, in their order."""
    shape: tuple[int, int, int] | None = None
    """Of the array: Z, Y, X. None where the files form no volume."""
    spacing_mm: tuple[float, float, float] | None = None
    """x, y, z."""
    orientation: str | None = None
    """Where x, y, z point to, such as "LPS"."""
    findings: tuple[Finding, ...] = ()
    analysis_result_id: str | None = None
    """Of the public index: which analysis made this object; None where it is original data."""
    crdc_series_uuid: str | None = None
    """Of the public index: names this series in this content, for ever."""
    file_format: str | None = None
    """"nifti"; "zip", "tar" or "file" of what is only known from outside; None is DICOM."""
    checksums: tuple[str, ...] = ()
    """Of `files`, in their order, such as "md5:9e10..." or "sha256:..."; empty where the source gives none."""
    agreement: str | None = None
    """Address of the agreement that binds who uses these data; None where there is none."""
    citation: str | None = None
    """How the data are to be cited; None where `doi` tells it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One answer of a server: how to ask for it, and what must be true of it."""

    url: str
    """https://, http://, s3:// or gs://."""
    path: str = ""
    """Where the file belongs below the folder of its series, with forward slashes. Of a package: below which folder."""
    package: Literal["none", "zip", "tar", "multipart"] = "none"
    """What the body is: the file itself, an archive of files, or multipart/related with one DICOM object per part."""
    method: Literal["GET", "POST"] = "GET"
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of a POST."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Such as Accept; never credentials."""
    size_bytes: int | None = None
    """Of the body; None where the server does not say."""
    checksum: str | None = None
    """Of the body: "md5:...", "sha256:...", "crc32c:..." in hexadecimal."""
    service: str = ""
    """Whose rate limits and credentials apply, such as "idc", "tcia"; empty: the host's, without credentials."""


class Source(Protocol):
    """Where images are."""

    name: str
    """Value of the column `source`."""

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, in an order that depends on nothing but the data."""
        ...


class RemoteSource(Protocol):
    """Where series can be fetched from."""

    name: str
    """Value of the column `source`."""

    def remote_files(self, row: Mapping[str, Any]) -> Iterable[RemoteFile]:
        """Everything to ask for so that the series of this row of an index is here, whole.

        Raises
        ------
        SourceError
            The service cannot be asked, or does not have the series any more.
        """
        ...
