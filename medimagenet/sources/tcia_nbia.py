"""Client of NBIA, the software of The Cancer Imaging Archive (protocol: sources.md, 1.1 to 1.5).

Every question of `ENDPOINTS` can be asked, of versions 1, 2 and 4 and of the interface without a version; answers are
rows in the words of version 4, whichever was asked. TCIA's servers need no account.
"""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from ..errors import HttpError
from .credentials import Credentials
from .http import Client, Limits, public_address
from .tcia_answers import Row, as_text, read_csv, read_rows
from .tcia_endpoints import ADVANCED, DATE_FORMS, ENDPOINTS, OLDER_PARAMETERS, VERSIONS, Endpoint
from .tcia_login import TokenLogin

SERVICE = "tcia"
MAIN = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4"
NLST = "https://nlst.cancerimagingarchive.net/nbia-api/services/v4"
BLOCK = 1000
"""SeriesInstanceUIDs in one question: 64 kB of a form, which every server takes."""

_WITH_TOKEN = ("v2", ADVANCED)
_VERSION_1 = {MAIN: "https://services.cancerimagingarchive.net/nbia-api/services/v1"}
"""Of servers whose version 1 has another host."""


class Nbia:
    """One server.

    Parameters
    ----------
    base_url
        Of its services, with the version where it has one: ``.../nbia-api/services/v4``.
    credentials
        Of servers that ask for them; a guest's where None. Version 1 and 4 get none.
    limits
        In place of those of the service "tcia".
    """

    def __init__(
        self, base_url: str = MAIN, *, credentials: Credentials | None = None, limits: Limits | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        last = self.base_url.rpartition("/")[2]
        self.version = last if last in VERSIONS else ADVANCED
        self._limits = limits
        self._client = Client(SERVICE, base_url=self.base_url, limits=limits)
        self._login: TokenLogin | None = None
        self._authorized_as: tuple[str, Client] | None = None
        if self.version in _WITH_TOKEN:
            self._login = TokenLogin(self._client, f"{self._root()}/oauth/token", credentials)

    def __repr__(self) -> str:
        return f"Nbia({public_address(self.base_url)!r})"

    def query(self, name: str, /, **parameters: Any) -> list[Row]:
        """Rows of an endpoint, by its name in version 4. None among the parameters is left out.

        Dates are given as `datetime.date`, and written as this version reads them.

        Raises
        ------
        ValueError
            There is no such endpoint or parameter, or a parameter that it needs is missing.
        SourceError
            The server refuses (then an `HttpError`, with its sentence), cannot be reached or answers no rows.
        """
        asked = self._parameters(name, parameters)
        what = f"{name} of {public_address(self.base_url)}"
        if ENDPOINTS[name].post:
            asked["format"] = "JSON"  # getSeriesMetadata would answer CSV
        answer = self._ask(name, asked)
        is_csv = "csv" in answer.headers.get("Content-Type", "").lower()
        return read_csv(answer.content, what) if is_csv else read_rows(answer.content, what)

    def text(self, name: str, /, **parameters: Any) -> str:
        """The answer of an endpoint that gives text: hashes and manifests. Errors as of `query`."""
        answer = self._ask(name, self._parameters(name, parameters))
        return answer.content.decode("utf-8", "replace").strip()

    def address(self, name: str, /, **parameters: Any) -> str:
        """The whole address of a GET question. `ValueError` as of `query`."""
        return f"{self.base_url}/{self._name(name)}?{urlencode(self._parameters(name, parameters))}"

    # ---- the questions of a chain from a collection to its files

    def collections(self) -> list[str]:
        """Names of all collections."""
        return _values(self.query("getCollectionValues"), "Collection")

    def series(self, **filters: str) -> list[Row]:
        """Series that meet filters: Collection, PatientID, StudyInstanceUID, Modality, SeriesInstanceUID, ..."""
        return self.query("getSeries", **filters)

    def updated_series(self, since: datetime.date) -> list[Row]:
        """Series released after a day; that day is not among them."""
        return self.query("getUpdatedSeries", fromDate=since)

    def metadata(self, uids: Sequence[str], *, block: int = BLOCK) -> Iterator[Row]:
        """What is known of series by their SeriesInstanceUID; those that the server does not have are left out."""
        each = list(dict.fromkeys(uids))
        for start in range(0, len(each), block):
            yield from self._metadata_of(each[start : start + block])

    def sop_instances(self, series_uid: str) -> list[str]:
        """SOPInstanceUIDs of a series: what a download must bring."""
        return _values(self.query("getSOPInstanceUIDs", SeriesInstanceUID=series_uid), "SOPInstanceUID")

    def tags(self, series_uid: str) -> list[Row]:
        """Elements of the first image of a series; nested ones have a ``>`` per level before their tag."""
        return self.query("getDicomTags", SeriesUID=series_uid)

    def size(self, series_uid: str) -> tuple[int, int] | None:
        """Bytes and images of a series, None where the server does not know it. Slow: `series` has both too."""
        rows = self.query("getSeriesSize", SeriesInstanceUID=series_uid)
        return (int(float(rows[0]["TotalSizeInBytes"])), int(float(rows[0]["ObjectCount"]))) if rows else None

    def md5(self, sop_instance_uid: str) -> str:
        """MD5 of one image, hexadecimal."""
        return self.text("getMD5HashForImage", SOPInstanceUID=sop_instance_uid)

    def image_address(self, series_uid: str) -> str:
        """Where the zip of a series is: its license, its images, and their hashes as the last member."""
        if self.version in ("v1", "v2"):
            return self.address("getImageWithMD5Hash", SeriesInstanceUID=series_uid)
        return self.address("getImage", SeriesInstanceUID=series_uid, NewFileNames="Yes", IncludeMD5="Yes")

    def single_image(self, series_uid: str, sop_instance_uid: str) -> bytes:
        """One image as DICOM."""
        asked = {"SeriesInstanceUID": series_uid, "SOPInstanceUID": sop_instance_uid}
        return self._ask("getSingleImage", asked).content

    def shared_cart(self, name: str) -> list[Row]:
        """Series of a cart that somebody shared, such as ``nbia-49121659384603347``: version 1 alone knows them."""
        if self.version in ("v1", "v2"):
            return self.query("getContentsByName", name=name)
        older = Nbia(_VERSION_1.get(self.base_url, f"{self.base_url.rpartition('/')[0]}/v1"), limits=self._limits)
        return older.query("getContentsByName", name=name)

    # ---- how a question is asked

    def _metadata_of(self, uids: Sequence[str]) -> Iterator[Row]:
        """One block. A server that refuses all of it for some of its UIDs is asked for halves."""
        if self.version in ("v1", "v2"):
            for uid in uids:
                yield from self.query("getSeriesMetaData", SeriesInstanceUID=uid)
            return
        try:
            yield from self.query("getSeriesMetadata", list=",".join(uids))
        except HttpError as error:
            if error.status != 400 or len(uids) == 1:
                if error.status != 400:
                    raise
                return
            for half in (uids[: len(uids) // 2], uids[len(uids) // 2 :]):
                yield from self._metadata_of(half)

    def _parameters(self, name: str, given: dict[str, Any]) -> dict[str, str]:
        endpoint = _endpoint(name)
        if self.version not in endpoint.versions:
            raise ValueError(
                f"{name} is not in version {self.version} of NBIA's interface, but in {', '.join(endpoint.versions)}"
            )
        values = {key: value for key, value in given.items() if value is not None}
        known = (*endpoint.required, *endpoint.optional)
        unknown = [key for key in values if key not in known]
        missing = [key for key in endpoint.required if key not in values]
        if unknown or missing:
            wrong = f"knows no {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
            raise ValueError(f"{name} {wrong}; its parameters are {', '.join(known) or 'none'}")
        return {self._parameter(name, key): self._written(name, value) for key, value in values.items()}

    def _parameter(self, name: str, key: str) -> str:
        return OLDER_PARAMETERS.get((name, key), key) if self.version in ("v1", "v2") else key

    def _written(self, name: str, value: Any) -> str:
        if not isinstance(value, datetime.date):
            return str(value)
        older = DATE_FORMS.get(name, DATE_FORMS[""])
        return value.strftime(DATE_FORMS["v4"] if self.version not in ("v1", "v2") else older)

    def _name(self, name: str) -> str:
        endpoint = _endpoint(name)
        return endpoint.older if endpoint.older and self.version in ("v1", "v2") else name

    def _ask(self, name: str, asked: dict[str, str]) -> requests.Response:
        if self._login is None:
            return self._send(self._client, name, asked)
        try:
            return self._send(self._authorized(self._login), name, asked)
        except HttpError as error:
            if error.status != 401:
                raise
        self._login.forget()  # it ended before its time
        return self._send(self._authorized(self._login), name, asked)

    def _authorized(self, login: TokenLogin) -> Client:
        """A client with a good token; the same as long as the token is."""
        token = login.token()
        if self._authorized_as is None or self._authorized_as[0] != token.header():
            client = Client(SERVICE, base_url=self.base_url, credentials=token, limits=self._limits)
            self._authorized_as = token.header(), client
        return self._authorized_as[1]

    def _send(self, client: Client, name: str, asked: dict[str, str]) -> requests.Response:
        if ENDPOINTS[name].post:
            return client.post(self._name(name), data=asked)
        return client.get(self._name(name), params=asked)

    def _root(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}{parts.path.partition('/services')[0]}"


def _endpoint(name: str) -> Endpoint:
    if name not in ENDPOINTS:
        raise ValueError(f"NBIA has no endpoint {name!r}; there are {', '.join(sorted(ENDPOINTS))}")
    return ENDPOINTS[name]


def _values(rows: Iterable[Row], key: str) -> list[str]:
    """The values of one key; nulls, which NBIA gives as empty objects, are left out."""
    return [text for text in (as_text(row.get(key)) for row in rows) if text]
