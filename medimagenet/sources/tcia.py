"""The Cancer Imaging Archive: its collections as rows of an index, and where the zip of each series is.

What a user writes behind ``tcia:`` is a collection (NSCLC-Radiomics, in any spelling), a manifest (a ``.tcia`` file, or
a table with a column of SeriesInstanceUIDs), or the name of a shared cart (``nbia-49121659384603347``). TCIA needs no
account, and hosts no controlled-access data since July 2025: rows of such licences are listed, and never fetched.
"""

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import HttpError, SourceError
from ..findings import Finding
from .base import RemoteFile, SeriesRecord
from .credentials import SERVERS, find_credentials
from .tcia_answers import (
    ObjectTags,
    Row,
    as_count,
    as_date,
    as_doi,
    as_number,
    as_series_number,
    as_text,
    collection_key,
    read_tags,
)
from .tcia_licenses import CONTROLLED_ACCESS, Access, access_of, licenses_disagree, short_license
from .tcia_manifest import MANIFEST_SUFFIXES, read_manifest
from .tcia_nbia import MAIN, NLST, SERVICE, Nbia

URL_VARIABLE = SERVERS[SERVICE][0]
NLST_VARIABLE = "MEDIMAGENET_TCIA_NLST_URL"
"""Variables that name other NBIA servers in place of TCIA's two."""

_NLST = "nlst"
_OF_NLST = ("1.2.840.113654.2.55.", "1.3.6.1.4.1.14519.5.2.1.7009.9004.")  # no other collection of IDC v25 has these
_CART = re.compile(r"nbia-\d+")
_ANNOTATIONS = ("RTSTRUCT", "SEG")
_TEXTS = {
    **{name: name for name in ("PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "SeriesDescription")},
    **{name: name for name in ("Modality", "BodyPartExamined", "Manufacturer", "ManufacturerModelName")},
    "StudyDescription": "StudyDesc",
}
"""Columns that hold a value as NBIA gives it -> its key there."""


class Tcia:
    """A `Source` and a `RemoteSource`.

    Parameters
    ----------
    argument
        Collection, manifest or shared cart; empty where only `remote_files` is asked.
    main, nlst
        Servers; TCIA's own, or those that `MEDIMAGENET_TCIA_URL` and `MEDIMAGENET_TCIA_NLST_URL` name.
    references
        Whether RTSTRUCT and SEG are asked what they refer to, and for the names of their regions: a question each.
    """

    name = "tcia"

    def __init__(
        self, argument: str = "", *, main: Nbia | None = None, nlst: Nbia | None = None, references: bool = True
    ) -> None:
        self.argument = argument.strip()
        self.main = main or _server(URL_VARIABLE, MAIN)
        self.nlst = nlst or _server(NLST_VARIABLE, NLST)
        self._references = references
        self.progress: Callable[[int, int], None] | None = None
        """Called with the number of series described and of all, where somebody waits for `series`."""

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, sorted by patient, study, modality and UID.

        Raises
        ------
        SourceError
            No such collection, manifest or cart; a server cannot be asked.
        """
        if not self.argument:
            raise SourceError('which series? write a collection, "tcia:NSCLC-Radiomics", or a manifest, "tcia:X.tcia"')
        path = Path(self.argument)
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            rows = self._by_uids(read_manifest(path))
        elif _CART.fullmatch(self.argument):
            rows = self._with_metadata(self.main, self.main.shared_cart(self.argument))
        else:
            rows = self._of_collection()
        found = sorted(_each_once(rows), key=_order)
        for done, row in enumerate(found, start=1):
            yield self._record(row)
            if self.progress is not None:
                self.progress(done, len(found))

    def remote_files(self, row: Mapping[str, Any]) -> Iterator[RemoteFile]:
        """The zip of a series: its licence, its images, and ``md5hashes.csv`` with their hashes.

        Raises
        ------
        SourceError
            The series is under controlled access.
        """
        refuse_controlled(row)
        uid = str(row["SeriesInstanceUID"])
        server = self.nlst if _is_nlst(row.get("collection_id"), uid) else self.main
        yield RemoteFile(url=server.image_address(uid), package="zip", service=SERVICE)

    # ---- which series

    def _of_collection(self) -> list[Row]:
        wanted = collection_key(self.argument)
        server = self.nlst if wanted == _NLST else self.main
        known = {collection_key(name): name for name in server.collections()}
        if wanted not in known:
            close = [known[key] for key in difflib.get_close_matches(wanted, known, n=3)]
            hint = f"did you mean {' or '.join(close)}?" if close else '"medimagenet collections --tcia" lists them'
            raise SourceError(f"TCIA has no collection {self.argument!r} among its {len(known)}: {hint}")
        rows = server.series(Collection=known[wanted])
        return self._with_metadata(server, rows)

    def _with_metadata(self, server: Nbia, rows: list[Row]) -> list[Row]:
        """Rows with what only getSeriesMetadata tells, such as the thickness of slices."""
        uids = [row["SeriesInstanceUID"] for row in rows if row.get("SeriesInstanceUID")]
        more = {row["SeriesInstanceUID"]: row for row in server.metadata(uids)} if server.version == "v4" else {}
        return [{**more.get(row.get("SeriesInstanceUID"), {}), **row} for row in rows]

    def _by_uids(self, uids: list[str]) -> list[Row]:
        """Rows of series on either server; the main one refuses what the other has (sources.md, 1.1)."""
        found = {row["SeriesInstanceUID"]: row for row in self.main.metadata([u for u in uids if not _is_nlst("", u)])}
        absent = [uid for uid in uids if uid not in found]
        if absent:
            found |= {row["SeriesInstanceUID"]: row for row in self.nlst.metadata(absent)}
        missing = [uid for uid in uids if uid not in found]
        if missing:
            raise SourceError(
                f"TCIA does not have {len(missing)} of {len(uids)} series of {self.argument}, such as {missing[0]}: "
                "they may have moved or be under controlled access; the public index may have them: "
                f'"medimagenet search --from-manifest {self.argument}"'
            )
        return list(found.values())

    # ---- rows

    def _record(self, row: Row) -> SeriesRecord:
        uid = row["SeriesInstanceUID"]
        collection = collection_key(row.get("Collection") or "") or None
        server = self.nlst if _is_nlst(collection, uid) else self.main
        count, size = _extent(server, row)
        tags, findings = self._tags(server, row, count)
        name, address = row.get("LicenseName"), row.get("LicenseURI")
        if licenses_disagree(name, address):
            message = f"the licence is named {name}, and its address is that of {short_license(None, address)}"
            findings = [*findings, Finding(code="license_conflict", message=message)]
        content = _digest(uid, count, size, row.get("MaxSubmissionTimestamp"))
        return SeriesRecord(
            **_columns(row, tags),
            key=f"{uid}:{content[:16]}",
            source=self.name,
            collection_id=collection,
            uri=server.image_address(uid),
            files=(),
            n_instances=count,
            size_bytes=size,
            content_hash=content,
            license=_license(name, address),
            findings=tuple(findings),
        )

    def _tags(self, server: Nbia, row: Row, count: int) -> tuple[ObjectTags, list[Finding]]:
        """What an annotation says of itself. The server tells it of the first instance of a series only."""
        if not self._references or row.get("Modality") not in _ANNOTATIONS or server.version in ("v1", "v2"):
            return ObjectTags(), []
        if count != 1:
            return ObjectTags(), [_not_told(f"is one of {count} in its series, and TCIA tells of the first only")]
        try:
            tags = read_tags(server.tags(row["SeriesInstanceUID"]))
        except HttpError as error:
            return ObjectTags(), [_not_told(f"was not told: TCIA answered {error.status}")]
        return tags, ([] if tags.series else [_not_told("is not in what TCIA tells of it")])


def refuse_controlled(row: Mapping[str, Any]) -> None:
    """Raise where the licence of a row says that only whoever was approved may have it.

    Raises
    ------
    SourceError
        It does; the message says where to apply.
    """
    if access_of(row.get("license")) is Access.CONTROLLED:
        raise SourceError(
            f"series {row['SeriesInstanceUID']} is under {row['license']!r}: access is controlled, and it is not "
            "fetched. TCIA hosts no such data since July 2025; apply for access at dbGaP, and get them from the "
            f"General Commons or the Clinical and Translational Data Commons: {CONTROLLED_ACCESS}"
        )


def _server(variable: str, default: str) -> Nbia:
    address = os.environ.get(variable) or default
    return Nbia(address, credentials=find_credentials(SERVICE) if address != default else None)


def _is_nlst(collection: str | None, uid: str) -> bool:
    return collection == _NLST or (not collection and uid.startswith(_OF_NLST))


def _each_once(rows: Iterable[Row]) -> list[Row]:
    """Rows by their series, each once; texts without blanks at their ends, and absent where there is nothing else."""
    found: dict[str, Row] = {}
    for row in rows:
        cleaned = {key: as_text(value) if isinstance(value, str) else value for key, value in row.items()}
        uid = cleaned.get("SeriesInstanceUID")
        if not uid:
            raise SourceError(f"TCIA lists a series without SeriesInstanceUID; what it tells has {', '.join(cleaned)}")
        found.setdefault(uid, cleaned)
    return list(found.values())


def _columns(row: Row, tags: ObjectTags) -> dict[str, Any]:
    """The columns that hold what a row, or an object itself, says in DICOM's words."""
    texts = {column: row.get(key) for column, key in _TEXTS.items()}
    return {
        **texts,
        "SOPClassUID": row.get("SOPClassUID") or tags.sop_class,
        "StudyDate": as_date(row.get("StudyDate")),
        "SeriesInstanceUID": row["SeriesInstanceUID"],
        "SeriesNumber": as_series_number(row.get("SeriesNumber")),
        "SeriesDate": as_date(row.get("SeriesDate")),
        "SOPInstanceUID": tags.sop_instance,
        "FrameOfReferenceUID": tags.frame_of_reference,
        "SliceThickness": as_number(row.get("SliceThickness(mm)")),
        "doi": as_doi(row.get("DataDescriptionURI")),
        "referenced_series": tags.series,
        "roi_names": tags.names,
    }


def _order(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(key) or "") for key in ("PatientID", "StudyInstanceUID", "Modality", "SeriesInstanceUID"))


def _extent(server: Nbia, row: Row) -> tuple[int, int]:
    """Images and bytes of a series; asked for where its row does not have them."""
    count, size = as_count(row.get("ImageCount")), as_count(row.get("FileSize"))
    if count is None or size is None:
        told = server.size(row["SeriesInstanceUID"])
        if told is None:
            raise SourceError(f"TCIA lists series {row['SeriesInstanceUID']} without its size, and does not know it")
        size, count = told
    return count, size


def _license(name: str | None, address: str | None) -> str | None:
    """The licence of a series; of a name and an address that disagree, the one that forbids commercial use."""
    named, addressed = short_license(name, address), short_license(None, address)
    if licenses_disagree(name, address) and access_of(addressed) is Access.NONCOMMERCIAL:
        return addressed
    return named


def _not_told(why: str) -> Finding:
    return Finding(code="no_reference", message=f"what this object refers to {why}")


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
