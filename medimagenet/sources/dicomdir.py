"""The files that a DICOMDIR names: a medium whose directory says what is on it, wherever the rest lies."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..dicom.header_scan import FileProblem, InstanceHeader, scan
from ..errors import DicomError, SourceError
from ..findings import Finding
from .base import SeriesRecord
from .damage import CutFile, identify_cut, with_damage
from .folder import Folder
from .grouping import group_headers
from .records import make_record
from .references import Resolver

if TYPE_CHECKING:
    from ..dicom.dicomdir import MediaFiles


class DicomDir:
    """A `Source`: what a DICOMDIR names. Its rows are those of local files.

    Raises
    ------
    SourceError
        The file is missing, or no DICOMDIR, or names no file that is there.
    """

    name = "dicomdir"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.problems: list[FileProblem] = []
        """Files that are in no row, and why; known when the series have been listed."""
        if not self.path.is_file():
            raise SourceError(f"no DICOMDIR at {self.path}: check the path, and whether its disk is mounted")

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, in the order of their UIDs."""
        listed = self._listed()
        if not listed.files:
            raise SourceError(f"{self.path} names {len(listed.missing)} files, none of which is there")
        self.problems = [self._missing(name) for name in listed.missing]
        headers: list[InstanceHeader] = []
        for result in scan(listed.files):
            if isinstance(result, FileProblem):
                self.problems.append(result)
            else:
                headers.append(result)
        headers.sort(key=lambda header: header.series_uid)
        yield from self._records(headers)

    def _listed(self) -> "MediaFiles":
        reader = importlib.import_module("..dicom.dicomdir", __package__)  # loads pydicom
        try:
            found: MediaFiles = reader.media_files(self.path)
        except DicomError as error:
            raise SourceError(f"{error}: give a folder, or a DICOMDIR") from error
        return found

    def _missing(self, name: str) -> FileProblem:
        message = "the DICOMDIR names it, and it is not there: copy the whole medium"
        return FileProblem(self.path.parent / name, Finding(code="unreadable_file", message=message))

    def _records(self, headers: list[InstanceHeader]) -> Iterator[SeriesRecord]:
        resolver = Resolver(headers)
        resolver.learn(headers)
        cut = [CutFile(one.path, *uids) for one in self.problems if (uids := identify_cut(one))]
        origin = {"source": Folder.name, "collection_id": None, "license": None, "doi": None}
        for group in group_headers(headers):
            yield with_damage(make_record(group, resolver.resolve(group), self.path.parent, **origin), group, cut)
