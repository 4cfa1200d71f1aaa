"""An NBIA server on loopback: the protocol of sources.md, section 1, with its quirks, over real DICOM files.

Numbers in comments are sections of sources.md. Every answer is made from the files and from `Held`, never from our
client. Faults are planted per endpoint with `fail`; each is used up by one request.
"""
# ruff: noqa: N802 - methods have the names of NBIA's endpoints

import csv
import hashlib
import io
import json
import threading
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pydicom

V4_PARAMETERS = {  # 1.3: v4 refuses what is not listed
    "getCollectionValues": (),
    "getModalityValues": ("Collection", "BodyPartExamined"),
    "getBodyPartValues": ("Collection", "Modality"),
    "getManufacturerValues": ("Collection", "Modality", "BodyPartExamined"),
    "getPatient": ("Collection", "PatientId"),
    "getPatientByCollectionAndModality": ("Collection", "Modality"),
    "getPatientStudy": ("Collection", "PatientID", "StudyInstanceUID"),
    "getSeries": (
        *("Collection", "PatientID", "StudyInstanceUID", "Modality", "BodyPartExamined", "ManufacturerModelName"),
        *("Manufacturer", "SeriesInstanceUID"),
    ),
    "getUpdatedSeries": ("fromDate",),
    "NewPatientsInCollection": ("Collection", "fromDate"),
    "NewStudiesInPatientCollection": ("Collection", "PatientID", "fromDate"),
    "getSeriesMetadata": ("list",),
    "getSeriesSize": ("SeriesInstanceUID",),
    "getSOPInstanceUIDs": ("SeriesInstanceUID",),
    "getDicomTags": ("SeriesUID",),
    "getCollectionValuesAndCounts": (),
    "getModalityValuesAndCounts": ("Collection", "BodyPartExamined"),
    "getBodyPartValuesAndCounts": ("Collection", "Modality"),
    "getManufacturerValuesAndCounts": ("Collection", "Modality", "BodyPartExamined"),
    "getSpeciesValuesAndCounts": (),
    "getCollectionDescriptions": ("collectionName",),
    "getCollectionOrSeriesForDOI": ("DOI", "CollectionOrSeries"),
    "getImage": ("SeriesInstanceUID", "NewFileNames", "IncludeMD5"),
    "getSingleImage": ("SeriesInstanceUID", "SOPInstanceUID"),
    "getMD5HashForImage": ("SOPInstanceUID",),
    "getMD5Hierarchy": ("SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Collection"),
    "getManifestText": ("list", "includeAnnotation"),
}
REQUIRED = {
    "getPatientByCollectionAndModality": ("Collection", "Modality"),
    "NewPatientsInCollection": ("Collection", "fromDate"),
    "getSeriesMetadata": ("list",),
    "getSeriesSize": ("SeriesInstanceUID",),
    "getSOPInstanceUIDs": ("SeriesInstanceUID",),
    "getDicomTags": ("SeriesUID",),
    "getImage": ("SeriesInstanceUID",),
    "getSingleImage": ("SeriesInstanceUID", "SOPInstanceUID"),
}
IGNORING_CASE = ("Collection", "PatientID", "Modality", "BodyPartExamined", "Manufacturer", "ManufacturerModelName")
GUEST, USER, PASSWORD = "nbia_guest", "reader", "correct horse"


@dataclass(kw_only=True)
class Held:
    """One series that the server has: what its tables say, and its files."""

    values: dict  # keys of v4 getSeries, and what only other endpoints tell
    files: list[Path]
    released: bool = True

    @property
    def uid(self) -> str:
        return self.values["SeriesInstanceUID"]

    def dataset(self, number: int = 0):
        return pydicom.dcmread(self.files[number], force=True)


def hold_series(
    folder: Path,
    *,
    collection: str = "SYN-Phantoms",
    license_name: str | None = "Creative Commons Attribution 4.0 International License",
    license_uri: str | None = "https://creativecommons.org/licenses/by/4.0/",
    doi: str | None = "https://doi.org/10.7937/a1v1-rc66",
    **values,
) -> list[Held]:
    """What a server would hold of the DICOM files below a folder, one entry per SeriesInstanceUID."""
    by_series: dict[str, list[Path]] = defaultdict(list)
    heads = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        head = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if "SeriesInstanceUID" in head:
            by_series[head.SeriesInstanceUID].append(path)
            heads.setdefault(head.SeriesInstanceUID, head)
    return [
        Held(values=_values(heads[uid], files, collection, license_name, license_uri, doi) | values, files=files)
        for uid, files in sorted(by_series.items())
    ]


def _values(head, files, collection, license_name, license_uri, doi) -> dict:
    def text(keyword):
        value = head.get(keyword)
        return None if value is None or str(value) == "" else str(value)

    number = text("SeriesNumber")
    return {
        **{name: text(name) for name in ("SeriesInstanceUID", "StudyInstanceUID", "Modality", "ProtocolName")},
        "SeriesDate": text("SeriesDate"),
        "SeriesDescription": text("SeriesDescription"),
        "BodyPartExamined": text("BodyPartExamined"),
        "SeriesNumber": int(number) if number else None,
        "AnnotationsFlag": "NO",
        "Collection": collection,
        "Site": "HES-SO Valais",
        **{name: text(name) for name in ("PatientID", "PatientSex", "PatientAge", "Manufacturer")},
        "ManufacturerModelName": text("ManufacturerModelName"),
        "SoftwareVersions": text("SoftwareVersions"),
        "ImageCount": len(files),
        "MaxSubmissionTimestamp": "2024-03-05 10:20:30.0",
        "LicenseName": license_name,
        "LicenseURI": license_uri,
        "DataDescriptionURI": doi,
        "FileSize": sum(path.stat().st_size for path in files),
        "ReleasedStatus": "Yes",
        "DateReleased": "20240306",
        "StudyDesc": text("StudyDescription"),
        "StudyDate": text("StudyDate"),
        "ThirdPartyAnalysis": "NO",
        "Authorized": "1",
        "SOPClassUID": text("SOPClassUID"),
        "SliceThickness(mm)": None if text("SliceThickness") is None else float(head.SliceThickness),
    }


_ONLY_ELSEWHERE = ("SOPClassUID", "SliceThickness(mm)")  # not among the keys of v4 getSeries


@dataclass
class Fault:
    """What goes wrong with one request: a status, or what happens to the body."""

    status: int = 0
    body: str = ""
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the connection is closed
    lose_files: int = 0  # 1.4: a shorter but valid zip with status 200
    corrupt: bool = False  # a byte of the first image differs
    delay_s: float = 0.0


class NbiaServer:
    """Use as a context manager; `url` is what stands before /services, /oauth and /api."""

    def __init__(self, series=(), *, collections=(), nlst: bool = False) -> None:
        self.series = list(series)
        self.collections = list(collections)  # records of the collection manager, 1.7
        self.wordpress: dict[str, list[dict]] = {"collections": self.collections}
        self.descriptions: list[dict] = []
        self.carts: dict[str, list[str]] = {}
        self.nlst = nlst
        self.only_csv = False  # getSeriesMetadata in its default form, whatever was asked for
        self.extra_nulls = False  # 1.2: value lists may hold one empty object
        self.requests: list[tuple[str, str, dict, dict]] = []
        self.tokens: dict[str, str] = {}
        self.token_lifetime_s = 7200
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()

    def fail(self, endpoint: str, *faults: Fault) -> None:
        self._faults[endpoint] += faults

    def stop_failing(self) -> None:
        self._faults.clear()

    def take_fault(self, endpoint: str) -> Fault:
        with self._lock:
            return self._faults[endpoint].pop(0) if self._faults[endpoint] else Fault()

    def asked(self, endpoint: str) -> list[dict]:
        """Parameters of each request to an endpoint."""
        return [values for _, path, values, _ in self.requests if path.rsplit("/", 1)[-1] == endpoint]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/nbia-api"

    def services(self, version: str = "v4") -> str:
        return f"{self.url}/services/{version}".rstrip("/")

    def __enter__(self) -> "NbiaServer":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # ---- what the endpoints tell

    def visible(self) -> list[Held]:
        return [one for one in self.series if one.released]

    def find(self, uid: str) -> Held | None:
        return next((one for one in self.visible() if one.uid == uid), None)

    def matching(self, version: str, values: dict) -> list[Held]:
        folding = IGNORING_CASE if version == "v4" else ("Collection", "PatientID")  # 1.2

        def is_met(one: Held, name: str, asked: str) -> bool:
            known = one.values.get(name) or ""
            return known.casefold() == asked.casefold() if name in folding else known == asked

        return [one for one in self.visible() if all(is_met(one, name, asked) for name, asked in values.items())]

    def issue_token(self, user: str) -> dict:
        token = hashlib.sha256(f"{user} {len(self.tokens)}".encode()).hexdigest()
        refresh = f"refresh-{token[:16]}"
        self.tokens[token] = refresh
        names = ("refresh_expires_in", "not-before-policy")
        return {
            "access_token": token,
            "expires_in": self.token_lifetime_s,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "id_token": "x",
            "session_state": "y",
            "scope": "openid",
            **dict.fromkeys(names, 0),
        }


def _date(text: str | None, form: str) -> str | None:
    """YYYYMMDD in the forms of 1.2."""
    if text is None or len(text) != 8:
        return text
    year, month, day = text[:4], text[4:6], text[6:]
    return {"v4": f"{month}-{day}-{year}", "list": f"{year}-{month}-{day} 00:00:00.0"}[form]


def _series_row(one: Held, version: str) -> dict:
    row = {name: value for name, value in one.values.items() if name not in _ONLY_ELSEWHERE}
    form = "v4" if version == "v4" else "list"
    row |= {name: _date(row[name], form) for name in ("SeriesDate", "StudyDate", "DateReleased")}
    if version != "v4":
        for name in ("Site", "PatientSex", "PatientAge", "ReleasedStatus", "Authorized"):
            row.pop(name)
        row["TimeStamp"] = row.pop("MaxSubmissionTimestamp")
        row["CollectionURI"] = row.pop("DataDescriptionURI")
    return row


def _metadata_v1(one: Held) -> dict:
    """Every value is a text, keys have spaces (1.3, 1.8)."""
    values = one.values
    return {
        "Series UID": one.uid,
        "Collection": values["Collection"],
        "3rd Party Analysis": "NO",
        "Data Description URI": values["DataDescriptionURI"],
        "Subject ID": values["PatientID"],
        "Study UID": values["StudyInstanceUID"],
        "Study Description": values["StudyDesc"],
        "Study Date": _date(values["StudyDate"], "v4"),
        "Series Description": values["SeriesDescription"],
        "Manufacturer": values["Manufacturer"],
        "Modality": values["Modality"],
        "SOP Class UID": values["SOPClassUID"],
        "Number of Images": str(values["ImageCount"]),
        "File Size": str(values["FileSize"]),
        "Series Number": None if values["SeriesNumber"] is None else f"{values['SeriesNumber']:.6f}",
        "License Name": values["LicenseName"],
        "License URL": values["LicenseURI"],
        "Annotation Size": "0",
    }


def _patient_row(one: Held, version: str) -> dict:
    row = {
        "PatientId": one.values["PatientID"],  # 1.2: everything else says PatientID
        "PatientName": one.values["PatientID"],
        "PatientSex": one.values["PatientSex"],
        "EthnicGroup": None,
        "Collection": one.values["Collection"],
        "Phantom": "NO",
        "SpeciesCode": "337915000",
        "SpeciesDescription": "Homo sapiens",
    }
    return row | ({"Authorized": "1"} if version == "v4" else {"PatientBirthDate": None})


def _study_rows(held: list[Held], version: str) -> list[dict]:
    studies: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        studies[one.values["StudyInstanceUID"]].append(one)
    return [
        {
            "StudyInstanceUID": uid,
            "StudyDate": _date(ones[0].values["StudyDate"], "v4" if version == "v4" else "list"),
            "StudyDescription": ones[0].values["StudyDesc"],
            "PatientID": ones[0].values["PatientID"],
            "PatientAge": ones[0].values["PatientAge"],
            "PatientSex": ones[0].values["PatientSex"],
            "Collection": ones[0].values["Collection"],
            "SeriesCount": len(ones),
            "LongitudinalTemporalEventType": None,
        }
        for uid, ones in studies.items()
    ]


def _tags(dataset, depth: int = 0):
    """Rows of getDicomTags: a sequence, its items' elements one level deeper, the sequence again at its end (1.3)."""
    mark = ">" * depth
    for element in dataset:
        if element.tag == 0x7FE00010:
            continue
        name = f"{mark}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            yield {"element": name, "name": element.name, "data": ""}
            for item in element.value:
                yield from _tags(item, depth + 1)
        else:
            yield {"element": name, "name": element.name, "data": str(element.value)}


def _csv_text(rows: list[dict]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


MANIFEST_HEAD = (
    "downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet\n"
    "includeAnnotation=true\nnoOfrRetry=4\ndatabasketId=manifest-1746549740123.tcia\nmanifestVersion=3.0\n"
    "ListOfSeriesToDownload=\n"
)


class _RefusedError(Exception):
    def __init__(self, status: int, text: str, kind: str = "application/json") -> None:
        super().__init__(text)
        self.status, self.text, self.kind = status, text, kind


class _Answers:
    """One function per endpoint: version and parameters to rows, or to a text."""

    def __init__(self, server: NbiaServer) -> None:
        self.server = server

    def _values(self, name: str, version: str, values: dict, key: str | None = None) -> list[dict]:
        found = sorted({one.values[name] or "" for one in self.server.matching(version, values)})
        nulls = [{}] if "" in found or self.server.extra_nulls else []
        return [{key or name: value} for value in found if value] + nulls

    def _counts(self, name: str, version: str, values: dict, key: str | None = None) -> list[dict]:
        rows = self._values(name, version, values)
        counted = [
            (row.get(name), sum(one.values[name] == row.get(name) for one in self.server.matching(version, values)))
            for row in rows
        ]
        if version != "v4":
            return [{"criteria": value, "count": str(count)} for value, count in counted]
        return [{key or name: value, "Count": str(count), "Authorized": "1"} for value, count in counted]

    def getCollectionValues(self, version, values):
        return self._values("Collection", version, values)

    def getModalityValues(self, version, values):
        return self._values("Modality", version, values)

    def getBodyPartValues(self, version, values):
        return self._values("BodyPartExamined", version, values)

    def getManufacturerValues(self, version, values):
        return self._values("Manufacturer", version, values)

    def getCollectionValuesAndCounts(self, version, values):
        return self._counts("Collection", version, values)

    def getModalityValuesAndCounts(self, version, values):
        return self._counts("Modality", version, values)

    def getBodyPartValuesAndCounts(self, version, values):
        return self._counts("BodyPartExamined", version, values, "BodyPart")

    def getManufacturerValuesAndCounts(self, version, values):
        return self._counts("Manufacturer", version, values)

    def getPatient(self, version, values):
        asked = {"PatientID" if name == "PatientId" else name: value for name, value in values.items()}
        rows = {one.values["PatientID"]: one for one in self.server.matching(version, asked)}
        return [_patient_row(one, version) for one in rows.values()]

    def getPatientByCollectionAndModality(self, version, values):
        return [{"PatientId": row["PatientId"]} for row in self.getPatient(version, values)]

    def getPatientStudy(self, version, values):
        return _study_rows(self.server.matching(version, values), version)

    def getSeries(self, version, values):
        wanted = values.get("SeriesInstanceUID") or values.get("Collection", "")
        if not self.server.nlst and wanted.casefold() == "nlst":
            raise _RefusedError(400, "Collection NLST is not on this server.")  # 1.1
        return [_series_row(one, version) for one in self.server.matching(version, values)]

    def _since(self, version: str, values: dict) -> str:
        text = values.get("fromDate", values.get("Date", ""))
        if version == "v4":
            month, day, year = text.split("-")
        else:
            day, month, year = text.split("/")
        return f"{year}{month}{day}"

    def getUpdatedSeries(self, version, values):
        since = self._since(version, values) if values else "19000101"
        found = [one for one in self.server.visible() if one.values["DateReleased"] > since]  # strictly later
        return [_series_row(one, version) for one in found]

    def NewPatientsInCollection(self, version, values):
        return self.getPatient(version, {"Collection": values["Collection"]})

    def getSeriesMetaData(self, version, values):  # only v1 and v2 spell it so
        if version == "v4":
            raise _RefusedError(404, "Not Found", "text/html")
        one = self.server.find(values["SeriesInstanceUID"])
        return [_metadata_v1(one)] if one else []

    def getSeriesMetadata(self, version, values):
        if version in ("v1", "v2"):
            raise _RefusedError(404, "Not Found", "text/html")
        found = [self.server.find(uid) for uid in values["list"].split(",")]
        form = values.get("format", "CSV").upper()  # 1.3: CSV unless another is asked for
        rows = [
            _series_row(one, "v4") | {"SliceThickness(mm)": one.values["SliceThickness(mm)"]} for one in found if one
        ]
        return rows if form == "JSON" and not self.server.only_csv else _csv_text(rows)

    def getSeriesSize(self, version, values):
        one = self.server.find(values["SeriesInstanceUID"])
        if one is None:
            return []
        return [{"TotalSizeInBytes": f"{one.values['FileSize']}.000000", "ObjectCount": one.values["ImageCount"]}]

    def getSOPInstanceUIDs(self, version, values):
        one = self.server.find(values["SeriesInstanceUID"])
        return [{"SOPInstanceUID": one.dataset(k).SOPInstanceUID} for k in range(len(one.files))] if one else []

    def getDicomTags(self, version, values):
        one = self.server.find(values["SeriesUID"])
        return list(_tags(one.dataset())) if one else []  # of the first image only

    def getContentsByName(self, version, values):
        if version == "v4":  # 1.1: exists only in v1 and v2
            raise _RefusedError(404, "Not Found", "text/html")
        found = [self.server.find(uid) for uid in self.server.carts.get(values["name"], ())]
        return [_series_row(one, version) for one in found if one]

    def getCollectionDescriptions(self, version, values):
        name = values.get("collectionName")
        return [row for row in self.server.descriptions if name in (None, row["collectionName"])]

    def getCollectionOrSeriesForDOI(self, version, values):
        found = [one for one in self.server.visible() if values["DOI"] in (one.values["DataDescriptionURI"] or "")]
        if values.get("CollectionOrSeries") != "series":
            names = sorted({one.values["Collection"] for one in found})
            return [{"collection": name, "thirdPartyAnanlysis": "NO", "authorized": "1"} for name in names]
        return [
            {"collection": one.values["Collection"], "seriesInstanceUID": one.uid, "thirdPartyAnanlysis": "NO"}
            for one in found
        ]

    def getMD5HashForImage(self, version, values):
        if version != "v4":
            raise _RefusedError(404, "Not Found", "text/html")
        return self._hash(values["SOPInstanceUID"])

    def getM5HashForImage(self, version, values):  # sic, 1.2
        if version == "v4":
            raise _RefusedError(404, "Not Found", "text/html")
        return self._hash(values["SOPInstanceUid"])

    def _hash(self, uid: str) -> str:
        for one in self.server.visible():
            for number, path in enumerate(one.files):
                if one.dataset(number).SOPInstanceUID == uid:
                    return hashlib.md5(path.read_bytes()).hexdigest()
        raise _RefusedError(400, "Image does not exist.", "text/plain")

    def getManifestText(self, version, values):
        return MANIFEST_HEAD + "\n".join(values["list"].split(","))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    nbia: NbiaServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve("GET", dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._serve("POST", dict(parse_qsl(body, keep_blank_values=True)))

    def _serve(self, method: str, values: dict) -> None:
        path = urlsplit(self.path).path
        self.nbia.requests.append((method, path, values, dict(self.headers)))
        name = path.rsplit("/", 1)[-1]
        fault = self.nbia.take_fault(name)
        time.sleep(fault.delay_s)
        try:
            if fault.status:
                self._send(fault.status, fault.body.encode(), "text/plain", fault.headers)
            elif path.startswith("/nbia-api/services/"):
                self._service(path.removeprefix("/nbia-api/services/").split("/"), values, fault)
            elif path == "/nbia-api/oauth/token":
                self._token(values)
            elif path.startswith("/api/"):
                self._wordpress(path.strip("/").split("/"), values)
            else:
                self._send(404, b"<html>Not Found</html>", "text/html")
        except _RefusedError as refusal:
            self._send(refusal.status, refusal.text.encode(), refusal.kind)

    def _service(self, parts: list[str], values: dict, fault: Fault) -> None:
        version, name = parts if len(parts) == 2 else ("", parts[0])
        if version in ("v2", "") and self._user() is None:
            raise _RefusedError(401, '{"error":"unauthorized"}')
        self._check(version, name, values)
        if name in ("getImage", "getImageWithMD5Hash"):
            self._zip(name, version, values, fault)
            return
        if name == "getSingleImage":
            self._single(values, fault)
            return
        function = getattr(_Answers(self.nbia), name, None)
        if function is None:
            raise _RefusedError(404, "<html>Not Found</html>", "text/html")
        form = values.get("format")
        asked = values if name == "getSeriesMetadata" else {k: v for k, v in values.items() if k != "format"}
        found = function(version or "v2", asked)
        if isinstance(found, str):
            self._send(200, found.encode(), "text/csv" if name == "getSeriesMetadata" else "text/plain")
            return
        rows = [{k: v for k, v in row.items() if v is not None} for row in found]  # 1.2: nulls are left out
        if form and form.upper().startswith("CSV"):
            self._send(200, _csv_text(rows).encode() if rows else b"", "text/csv")
            return
        self._send(200, json.dumps(rows).encode() if rows else b"", "application/json", cut=fault.cut_after)

    def _check(self, version: str, name: str, values: dict) -> None:
        allowed = V4_PARAMETERS.get(name)
        if version == "v4" and allowed is not None:
            for given in values:
                if given not in (*allowed, "format"):
                    listed = ", ".join(allowed)
                    raise _RefusedError(400, f"Invalid query parameter: '{given}'. Allowed parameters are: [{listed}]")
        needed = REQUIRED.get(name, ()) if version not in ("v1", "v2") else ()
        missing = [one for one in needed if not values.get(one)]
        if missing:
            raise _RefusedError(400, f"Parameter {missing[0]} is required for this API call")

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return token if token in self.nbia.tokens else None

    def _token(self, values: dict) -> None:
        if values.get("client_id") not in ("NBIA", "nbia"):
            raise _RefusedError(400, '{"error":"invalid_client"}')
        if values.get("grant_type") == "refresh_token":
            if values.get("refresh_token") not in self.nbia.tokens.values():
                raise _RefusedError(400, '{"error":"invalid_grant"}')
            self._send(200, json.dumps(self.nbia.issue_token("again")).encode(), "application/json")
            return
        given = values.get("username"), values.get("password")
        if given not in ((GUEST, ""), (USER, PASSWORD)):
            raise _RefusedError(401, '{"error":"invalid_grant","error_description":"Bad credentials"}')
        self._send(200, json.dumps(self.nbia.issue_token(given[0])).encode(), "application/json")

    def _zip(self, name: str, version: str, values: dict, fault: Fault) -> None:
        one = self.nbia.find(values["SeriesInstanceUID"])
        if one is None:  # 1.4
            raise _RefusedError(400, "The user does not have access to the requested series.", "text/plain")
        with_hashes = name == "getImageWithMD5Hash" or values.get("IncludeMD5", "").casefold() == "yes"
        data = make_zip(
            one,
            new_names=values.get("NewFileNames", "").casefold() == "yes",
            md5=with_hashes,
            license_text=name == "getImage",
            fault=fault,
        )
        headers = {"Content-Disposition": f"attachment; filename={one.uid}.zip"}
        self._stream(data, "application/octet-stream", headers, cut=fault.cut_after)

    def _single(self, values: dict, fault: Fault) -> None:
        one = self.nbia.find(values["SeriesInstanceUID"])
        for number, path in enumerate(one.files if one else ()):
            if one.dataset(number).SOPInstanceUID == values["SOPInstanceUID"]:
                headers = {"Content-Disposition": f"attachment; filename={values['SOPInstanceUID']}.dcm"}
                self._stream(path.read_bytes(), "application/dicom", headers, cut=fault.cut_after)
                return
        raise _RefusedError(500, "Server was not able to process your request", "text/plain")  # 1.4

    def _wordpress(self, parts: list[str], values: dict) -> None:
        version, resource = parts[1], parts[2]  # /api/v1/collections/
        rows = self.nbia.wordpress.get(resource, [])
        if "include" in values:
            rows = [row for row in rows if str(row["id"]) in values["include"].split(",")]
        size, page = int(values.get("per_page", 10)), int(values.get("page", 1))
        pages = max(1, -(-len(rows) // size))
        shown = rows[(page - 1) * size : page * size]
        wanted = values.get("_fields" if version == "v1" else "fields")
        if wanted:
            shown = [{name: row[name] for name in wanted.split(",") if name in row} for row in shown]
        if version == "v2":
            self._send(200, json.dumps({"results": shown, "total_pages": pages}).encode(), "application/json")
            return
        headers = {}
        if page < pages:
            rest = "&".join(f"{name}={value}" for name, value in values.items() if name != "page")
            here = f"http://{self.headers['Host']}{urlsplit(self.path).path}"
            headers["Link"] = f'<{here}?{rest}&page={page + 1}>; rel="next"'
        self._send(200, json.dumps(shown).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, kind: str, headers=None, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self._hang_up()

    def _stream(self, body: bytes, kind: str, headers: dict, cut: int | None) -> None:
        """In chunks, without a length (1.4)."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = body if cut is None else body[:cut]
        for start in range(0, len(sent), 1 << 16):
            piece = sent[start : start + (1 << 16)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if cut is None:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()


def _handler_of(server: NbiaServer) -> type[_Handler]:
    return type("Handler", (_Handler,), {"nbia": server})


def make_zip(one: Held, *, new_names: bool, md5: bool, license_text: bool, fault: Fault) -> bytes:
    """The zip of a series: LICENSE first, images, md5hashes.csv last (1.4)."""
    stream = io.BytesIO()
    kept = one.files[: len(one.files) - fault.lose_files]
    hashes = [("Filename", "MD5Hash")]
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        if license_text:
            archive.writestr("LICENSE", one.values["LicenseName"] or "no licence")
        for number, path in enumerate(kept, start=1):
            data = path.read_bytes()
            name = f"1-{number:03d}.dcm" if new_names else f"{number:08d}.dcm"
            hashes.append((name, hashlib.md5(data).hexdigest()))
            if fault.corrupt and number == 1:
                data = data[:-1] + bytes([data[-1] ^ 1])
            archive.writestr(name, data)
        if md5:
            archive.writestr("md5hashes.csv", "\n".join(",".join(row) for row in hashes) + "\n")
    return stream.getvalue()
