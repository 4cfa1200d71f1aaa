"""New Mexico Decedent Image Database: cases that an approved user has downloaded (sources.md, section 3).

There is no interface to ask, and the site is never scraped: what is behind ``nmdid:`` is a folder with case zips, cases
that were unpacked, and the table of metadata. The data are bound by an agreement, whose address is in every row.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pydicom

from ..dicom.header_scan import FileProblem, InstanceHeader
from ..errors import SourceError
from ..findings import Finding
from ..store.agreements import NMDID
from .base import SeriesRecord
from .folder import Folder
from .grouping import group_headers
from .nmdid_layout import CASE, NamedSeries, disagreements, read_names
from .nmdid_table import Table, age_of, is_table, read_table, sex_of
from .records import make_record
from .references import Resolver
from .zipped import read_zipped

COLLECTION = "nmdid"
DOI = "10.25827/5s8c-n515"

_HEAD = 256 << 10  # bytes of a file that hold the kernel


class Nmdid:
    """A `Source`.

    Parameters
    ----------
    folder
        With what was downloaded, at any depth: ``case-100010.zip``, ``case-100010/``, a CSV or TSV with a column of
        cases. Files in zips are read in place.

    Raises
    ------
    SourceError
        The folder is missing or a file.
    """

    name = "nmdid"

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder).absolute()
        if not self.path.is_dir():
            raise SourceError(f"no folder at {self.path}: give the one that holds the cases you have downloaded")
        self.problems: list[FileProblem] = []
        """Files in no row, after `series`."""
        self._archives: dict[str, Path] = {}

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, sorted by case and folder.

        Raises
        ------
        SourceError
            There is no case, or a table is wrong.
        """
        self.problems = []
        zips, tables, others = _sort_files(self.path)
        table = _read_tables(tables)
        records = list(self._unpacked(others))
        cases = {names.case for names in map(self._names, records)}
        records += [record for archive in zips for record in self._zipped(archive, cases)]
        if not records:
            raise SourceError(
                f"no case in {self.path}: it should hold case-100010.zip or case-100010/, as the site gives them; "
                f"{len(self.problems)} files looked at"
            )
        yield from (self._described(record, table) for record in sorted(records, key=_order))

    def _unpacked(self, others: Sequence[Path]) -> Iterator[SeriesRecord]:
        if not others:
            return
        try:
            found = Folder(self.path).scan()
        except SourceError as error:  # none of these files is DICOM; the zips may hold some
            self.problems += [FileProblem(self.path, Finding(code="not_dicom", message=str(error)))]
            return
        self.problems += [one for one in found.problems if one.path.suffix.lower() != ".zip" and not is_table(one.path)]
        yield from found.records

    def _zipped(self, archive: Path, unpacked: set[str | None]) -> Iterator[SeriesRecord]:
        """The series in a zip. Their rows say that nothing reads them before they are unpacked."""
        case = read_names(PurePath(archive.name)).case
        if case is not None and case in unpacked:
            message = "the case is here unpacked too, and that is in the index"
            self.problems.append(FileProblem(archive, Finding(code="duplicate_file", message=message)))
            return
        headers: list[InstanceHeader] = []
        for found in read_zipped(archive):
            if isinstance(found, FileProblem):
                self.problems.append(found)
            else:
                headers.append(found)
        remedy = '"medimagenet unpack ZIP --to DIR", then index DIR'  # without the name of the zip, which is an ID
        packed = Finding(code="packed_files", message=f"its files are in a zip: {remedy}")
        resolver = Resolver(headers)
        for group in group_headers(headers):
            record = make_record(group, resolver.resolve(group), self.path, source=self.name)
            self._archives[record.key] = archive
            yield replace(record, findings=(*record.findings, packed))

    def _names(self, record: SeriesRecord) -> NamedSeries:
        return read_names(Path(record.uri).relative_to(self.path.parent))

    def _described(self, record: SeriesRecord, table: Table) -> SeriesRecord:
        """A row with what the folders and the table say, the agreement, and where they contradict the headers."""
        names = self._names(record)
        header = {
            "PatientID": record.PatientID,
            "BodyPartExamined": record.BodyPartExamined,
            "SliceThickness": record.SliceThickness,
            "step_mm": record.spacing_mm[2] if record.spacing_mm else None,
            "ConvolutionKernel": _kernel(Path(record.uri, record.files[0]), self._archives.get(record.key)),
        }
        findings = [*record.findings, *disagreements(names, header)]
        if names.localizer:
            findings.append(Finding(code="localizer", message=f"folder {names.series!r} holds no reconstruction"))
        values = table.get(names.case or "", {})
        sex, age = sex_of(values), age_of(values)
        if sex and record.PatientSex and sex != record.PatientSex:
            findings.append(_table_disagrees("PatientSex"))
        return replace(
            record,
            source=self.name,
            collection_id=COLLECTION,
            license=NMDID.name,
            agreement=NMDID.address,
            doi=DOI,
            PatientID=record.PatientID or (names.case and f"case-{names.case}"),
            PatientSex=record.PatientSex or sex,
            PatientAge=record.PatientAge or age,
            BodyPartExamined=record.BodyPartExamined or names.region,
            StudyDescription=record.StudyDescription or names.study,
            SeriesDescription=record.SeriesDescription or names.series,
            SliceThickness=record.SliceThickness if record.SliceThickness is not None else names.thickness_mm,
            findings=tuple(findings),
        )


def _sort_files(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Case zips, tables, and others; of others one is enough to know that there are some."""
    zips: list[Path] = []
    tables: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.suffix.lower() == ".zip" and CASE.match(path.name):
            zips.append(path)
        elif is_table(path):
            tables.append(path)
        elif not others:
            others.append(path)
    return zips, tables, others


def _read_tables(paths: Iterable[Path]) -> Table:
    found: dict[str, Any] = {}
    for path in paths:
        found |= read_table(path) or {}
    return found


def _kernel(path: Path, archive: Path | None) -> str | None:
    """ConvolutionKernel (0018,1210) of a file, which no index has; None where it does not say, or cannot be read."""
    try:
        if archive is None:
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ConvolutionKernel"])
        else:
            with zipfile.ZipFile(archive) as opened, opened.open(path.relative_to(archive).as_posix()) as stream:
                head = io.BytesIO(stream.read(_HEAD))
            data = pydicom.dcmread(head, stop_before_pixels=True, specific_tags=["ConvolutionKernel"])
    except (OSError, pydicom.errors.InvalidDicomError):
        return None
    value = data.get("ConvolutionKernel")
    return str(value) if isinstance(value, str) else str(value[0]) if value else None


def _table_disagrees(keyword: str) -> Finding:
    return Finding(code="layout_disagrees", message=f"the table of metadata and the headers tell another {keyword}")


def _order(record: SeriesRecord) -> tuple[str, str]:
    return record.uri, record.SeriesInstanceUID
