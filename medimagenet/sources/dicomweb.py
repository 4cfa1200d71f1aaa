"""Any archive that speaks DICOMweb (DICOM PS3.18): QIDO-RS to list, WADO-RS to fetch.

What a user writes behind ``dicomweb:`` is the address of the service, with conditions where not everything is wanted::

    https://pacs.example.org/dicom-web?PatientID=123*&StudyDate=20200101-20201231&Modality=CT

Conditions are DICOM keywords. Studies are asked for first and then the series of each, which every server can do; a
server without relational queries cannot list all series at once. Of structure sets, segmentations, doses and plans the
headers are asked for as well: what they refer to is in no answer to a search. Pixel data are never asked for.

Not known before the files are here: their sizes, the geometry of images, and what is wrong with them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.datadict import tag_for_keyword

from ..dicom.instance import InstanceHeader
from ..dicom.json_header import Document, header_from_json
from ..errors import HttpError, SourceError
from ..findings import Finding
from .base import SINGLE_OBJECTS, RemoteFile, SeriesRecord
from .credentials import Credentials, find_credentials
from .grouping import Group
from .http import Client, Limits, public_address
from .records import make_record
from .references import Resolver

PAGE = 100  # answers asked for at once
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""As stored: without the last part a server may decode what it sends (PS3.18 8.7.3.5.2)."""

_LINKED = ("RTSTRUCT", "RTPLAN", "RTDOSE", "SEG", "REG")
_STUDY_LEVEL = ("Patient", "Study", "Accession", "ReferringPhysician", "IssuerOfPatientID", "ModalitiesInStudy")
_STUDY_FIELDS = ("PatientSex", "PatientAge", "StudyDescription")
_SERIES_FIELDS = (
    *("PatientID", "PatientSex", "PatientAge", "StudyDate", "StudyDescription", "SeriesDate", "SeriesDescription"),
    *("SOPClassUID", "BodyPartExamined", "Manufacturer", "ManufacturerModelName", "FrameOfReferenceUID"),
    *("SliceThickness", "NumberOfSeriesRelatedInstances"),
)
_N_INSTANCES = "00201209"
_TEXTS = (
    *("PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "StudyDescription"),
    *("SeriesNumber", "SeriesDate", "SeriesDescription", "Modality", "SOPClassUID", "BodyPartExamined"),
    *("Manufacturer", "ManufacturerModelName", "FrameOfReferenceUID"),
)
_KEY_LENGTH = 16  # hex digits
_NOWHERE = Path("/", "instance")  # stands for the file of an instance
_NOT_GIVEN = (400, 404, 406, 410, 501)
"""Status codes of one series whose headers cannot be had, such as one UID in two patients, while others can."""


class DicomWeb:
    """A `Source` and a `RemoteSource`.

    Parameters
    ----------
    argument
        Address of the service, with conditions; empty where only `remote_files` is asked.
    credentials
        In place of those that the user keeps for "dicomweb". They go to the host of `argument` alone.
    limits
        How the server is treated.

    Raises
    ------
    SourceError
        The address is none, or a condition is no DICOM keyword.
    """

    name = "dicomweb"

    def __init__(
        self, argument: str = "", *, credentials: Credentials | None = None, limits: Limits | None = None
    ) -> None:
        self.base_url, self._conditions = _parse(argument) if argument else ("", {})
        self._credentials = credentials
        self._limits = limits

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, sorted by patient, study, modality and UID.

        Raises
        ------
        SourceError
            The server cannot be asked, or does not answer in DICOM JSON.
        """
        if not self.base_url:
            raise SourceError('which server? write its address, "dicomweb:https://pacs.example.org/dicom-web"')
        credentials = self._credentials or find_credentials(self.name)
        with Client(self.name, base_url=self.base_url, credentials=credentials, limits=self._limits) as client:
            server = _Server(self.base_url, client)
            records = [
                record
                for study in server.studies(self._at(study_level=True))
                for series in server.series(study, self._at(study_level=False))
                for record in self._records(server, study, series)
            ]
        unique = {record.key: record for record in records}  # one UID in two patients: each is told of twice
        yield from sorted(_resolved(list(unique.values())), key=_order)

    def remote_files(self, row: Mapping[str, Any]) -> list[RemoteFile]:
        """One answer: all instances of the series, or the one that is an object by itself, as they are stored."""
        single = row["SOPInstanceUID"] if row["Modality"] in SINGLE_OBJECTS else None
        url = f"{row['uri'].rstrip('/')}/instances/{quote(single)}" if single else row["uri"].rstrip("/")
        return [RemoteFile(url=url, package="multipart", headers={"Accept": _ACCEPT}, service=self.name)]

    def _at(self, *, study_level: bool) -> dict[str, str]:
        """The conditions of one level."""
        found = {key: value for key, value in self._conditions.items() if key.startswith(_STUDY_LEVEL) is study_level}
        if study_level and "Modality" in self._conditions:
            found["ModalitiesInStudy"] = self._conditions["Modality"]  # spares a question for each other study
        return found

    def _records(self, server: "_Server", study: Document, series: Document) -> Iterator[SeriesRecord]:
        header = header_from_json({**study, **series}, _NOWHERE)
        uri = server.address(header)
        findings: tuple[Finding, ...] = ()
        if header.modality in _LINKED:
            try:
                yield from (_object_record(one, uri) for one in server.instances(header))
                return
            except HttpError as error:
                if error.status not in _NOT_GIVEN:
                    raise
                message = f"the server lists it and does not give its headers (status {error.status})"
                findings = (Finding(code="header_not_given", message=message, numbers={"status": error.status}),)
        count = series.get(_N_INSTANCES, {}).get("Value") or [0]
        yield SeriesRecord(
            source=self.name,
            SeriesInstanceUID=header.series_uid,
            n_instances=int(count[0]),
            findings=findings,
            SliceThickness=_number(header.values.get("SliceThickness")),
            **{keyword: header.text(keyword) or None for keyword in _TEXTS},  # type: ignore[arg-type]
            **_place(uri, header.series_uid, f"{header.header_hash} {count[0]}", None),
        )


class _Server:
    """The questions that are asked of one server."""

    def __init__(self, base_url: str, client: Client) -> None:
        self._base_url = base_url
        session: Any = _Session(client)  # what DICOMwebClient uses of a session of requests
        self._client = DICOMwebClient(base_url, session=session, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)  # the session does that, and heeds Retry-After

    def address(self, header: InstanceHeader) -> str:
        """Of a series."""
        study, series = quote(header.text("StudyInstanceUID")), quote(header.series_uid)
        return f"{self._base_url}/studies/{study}/series/{series}"

    def studies(self, conditions: Mapping[str, str]) -> Iterator[Document]:
        """Every study that meets conditions."""
        yield from self._pages(self._client.search_for_studies, "0020000D", conditions, _STUDY_FIELDS)

    def series(self, study: Document, conditions: Mapping[str, str]) -> Iterator[Document]:
        """Every series of a study that meets conditions."""
        uid = study["0020000D"]["Value"][0]

        yield from self._pages(partial(self._client.search_for_series, uid), "0020000E", conditions, _SERIES_FIELDS)

    def instances(self, header: InstanceHeader) -> list[InstanceHeader]:
        """The headers of all instances of a series, by their UID."""
        study, series = header.text("StudyInstanceUID"), header.series_uid
        documents = self._ask(lambda: self._client.retrieve_series_metadata(study, series))
        found = [header_from_json(document, _NOWHERE) for document in documents]
        return sorted(found, key=lambda one: one.sop_instance_uid)

    def _pages(
        self,
        search: Callable[..., Sequence[Document]],
        uid_tag: str,
        conditions: Mapping[str, str],
        fields: tuple[str, ...],
    ) -> Iterator[Document]:
        """All answers. A server may send fewer than a page at a time, and may not heed the offset."""
        seen: set[str] = set()
        offset = 0
        while True:
            question = {"limit": PAGE, "offset": offset, "fields": fields, "search_filters": dict(conditions)}
            page = self._ask(partial(search, **question))
            new = [document for document in page if _uid(document, uid_tag) not in seen]
            if not new:
                return
            seen.update(_uid(document, uid_tag) for document in new)
            offset += len(page)
            yield from (document for document in new if _meets(document, conditions))

    def _ask(self, question: Callable[[], Sequence[Document]]) -> Sequence[Document]:
        try:
            answer = question()
        except (ValueError, requests.RequestException) as error:
            raise SourceError(f"{public_address(self._base_url)} does not answer in DICOM JSON: {error}") from error
        if not all(isinstance(document, dict) for document in answer):
            raise SourceError(f"{public_address(self._base_url)} does not answer in DICOM JSON, but in other JSON")
        return answer


class _Session:
    """A `Client` in the form in which DICOMwebClient uses a session."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, url: str, headers: Mapping[str, str], stream: bool, timeout: Any) -> requests.Response:
        """Ask; retries, waits and refusals are the client's."""
        own = {name: value for name, value in headers.items() if name != "Host"}  # it leaves out the port
        return self._client.get(url, headers=own, stream=stream)


def _object_record(header: InstanceHeader, uri: str) -> SeriesRecord:
    group = Group((header,))
    record = make_record(group, Resolver(()).resolve(group), _NOWHERE.parent, source=DicomWeb.name)
    return replace(record, **_place(uri, record.SeriesInstanceUID, header.header_hash, record.SOPInstanceUID))


def _parse(argument: str) -> tuple[str, dict[str, str]]:
    """Address and conditions."""
    parts = urlsplit(argument)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(
            f"{public_address(argument)!r} is no address: write https://HOST/PATH, as the server names it"
        )
    if parts.username or parts.password:
        raise SourceError(
            "credentials do not belong into an address, where others read them: "
            "set MEDIMAGENET_DICOMWEB_USER and MEDIMAGENET_DICOMWEB_PASSWORD"
        )
    conditions = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [key for key in conditions if tag_for_keyword(key) is None]
    if unknown:
        raise SourceError(f"condition {unknown[0]!r} is no DICOM keyword, such as PatientID, StudyDate or Modality")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), conditions


def _uid(document: Document, tag: str) -> str:
    values = document.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _meets(document: Document, conditions: Mapping[str, str]) -> bool:
    """Whether an answer is what was asked for: servers may pass over conditions that they do not support."""
    for keyword, wanted in conditions.items():
        element = document.get(f"{tag_for_keyword(keyword):08X}", {})
        values = [str(value).casefold() for value in element.get("Value") or () if not isinstance(value, dict)]
        is_plain = not set(wanted) & set("*?\\,") and element.get("vr") not in ("DA", "TM", "DT", "PN")
        if is_plain and wanted and values and wanted.casefold() not in values:
            return False
    return True


def _place(uri: str, series_uid: str, content: str, sop_uid: str | None) -> dict[str, Any]:
    """Where a series is, and the key that follows from it."""
    content_hash = hashlib.sha256(content.encode()).hexdigest()[:32]
    text = json.dumps([uri, sop_uid, content_hash])
    digest = hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]
    return {
        "key": f"{series_uid}:{digest}",
        "uri": uri,
        "files": (),
        "size_bytes": 0,
        "content_hash": content_hash,
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _order(record: SeriesRecord) -> tuple[str, ...]:
    return (
        *(record.PatientID or "", record.StudyInstanceUID or "", record.Modality or ""),
        *(record.SeriesInstanceUID, record.SOPInstanceUID or ""),
    )


def _resolved(records: list[SeriesRecord]) -> Iterator[SeriesRecord]:
    """Objects that name others by SOPInstanceUID alone, with the series of those."""
    homes = {record.SOPInstanceUID: record.SeriesInstanceUID for record in records if record.SOPInstanceUID}
    for record in records:
        series = dict.fromkeys(homes[uid] for uid in record.referenced_instances if uid in homes)
        yield replace(record, referenced_series=tuple(series)) if series and not record.referenced_series else record
