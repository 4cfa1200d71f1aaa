"""Fetch newer versions of IDC's index, and its side indices, from where IDC publishes them.

Each table is a Parquet file below ``BASE/RELEASE/release_artifacts/``, where RELEASE is a version or ``current``, with
its SHA-256 beside it. A table is read into a file of its own that the next attempt goes on with, compared with its
checksum, opened, and asked for the columns that are needed. Only when all tables are whole are they moved to where
`idc_versions` looks, the list of them last: an attempt that fails anywhere changes nothing.
"""

import contextlib
import datetime
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from .._places import CACHE_VARIABLE
from ..errors import HttpError, SourceError
from .http import Client, describe, public_address
from .idc_layout import CONFIG, MAIN_COLUMNS, SIDE_COLUMNS, columns_of
from .idc_versions import (
    LEDGER,
    IdcVersion,
    find_version,
    index_dir,
    is_version,
    ledger_of,
    sort_key,
    version_dir,
    versions_here,
    write_json_whole,
)

BASE_URL = "https://storage.googleapis.com/idc-index-data-artifacts"
"""Where IDC publishes its index. It needs no account."""

BASE_VARIABLE = "MEDIMAGENET_IDC_INDEX_URL"
"""Environment variable with another address, such as a mirror's."""

CURRENT = "current"

Stage = Callable[[str], Callable[[int, int], None]]
"""Takes what begins now, such as "ct_index"; gives the function that is called with the bytes done and of all."""

_DATA_VERSION = b"idc_index_data_version"  # key in the schema of each file, such as 25.0.5-0-gf08b112
_CHECKSUM = re.compile(r"\s*([0-9a-fA-F]{64})(\s.*)?", re.DOTALL)
_BLOCK = 1 << 16  # what is lost of a block when the connection breaks in it
_ATTEMPTS = 3  # of one file, each going on where the one before broke off
_FOOTER = 1 << 16  # bytes asked for to find the footer of a file; it is asked for again where it is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What IDC publishes under an address."""

    version: str
    address: str
    """Folder of its files, below the base address."""
    checksum: str
    """SHA-256 of its table ``idc_index``."""


class IdcRelease:
    """IDC's releases of the index, behind one address.

    Parameters
    ----------
    base_url
        In place of `BASE_URL` or what ``MEDIMAGENET_IDC_INDEX_URL`` names.
    client
        For tests.
    """

    def __init__(self, base_url: str | None = None, client: Client | None = None) -> None:
        address = base_url or os.environ.get(BASE_VARIABLE) or BASE_URL
        self._client = client or Client("idc", base_url=address)

    def find(self, version: str | None = None) -> Release:
        """What is published as this version, or now.

        Parameters
        ----------
        version
            Whole, such as ``24.2.0``, or the beginning of one, such as ``24``: its newest. None: what is current.

        Raises
        ------
        SourceError
            The server cannot be asked, has no such version, or answers with something else.
        """
        name = CURRENT if version is None else version if is_version(version) else self._newest(version)
        address = f"{name}/release_artifacts"
        try:
            checksum = self._checksum(address, "idc_index")
        except HttpError as error:
            if error.status not in (403, 404):
                raise
            raise SourceError(f"IDC publishes no version {name} of its index: {error}") from error
        found = self._version_of(address)
        if version is not None and not f"{found}.".startswith(f"{version}."):
            raise SourceError(f"{address} is asked for version {version} and holds version {found}")
        return Release(version=found, address=address, checksum=checksum)

    def fetch(self, release: Release, tables: Collection[str], stage: Stage | None = None) -> IdcVersion:
        """Get tables of a release that are not here yet. The version is here, whole, when this returns.

        Parameters
        ----------
        tables
            Names of side indices; the main tables come with them where they are not here.

        Raises
        ------
        SourceError
            A table cannot be fetched, is cut, differs from its checksum, or is of another version; or the disk is full.
        """
        here = next((one for one in versions_here() if one.version == release.version), None)
        has = set(here.files) if here is not None else set()
        wanted = [name for name in (*MAIN_COLUMNS, *SIDE_COLUMNS) if name not in has]
        wanted = [name for name in wanted if name in MAIN_COLUMNS or name in tables]
        if wanted:
            with _full_disk_explained():
                self._fetch_all(release, wanted, stage or (lambda label: lambda done, total: None))
        found = find_version(release.version)
        if found is None:
            raise SourceError(f"version {release.version} was fetched but is not in {version_dir(release.version)}")
        return found

    def _fetch_all(self, release: Release, wanted: Sequence[str], stage: Stage) -> None:
        staging = index_dir() / f".fetch-{release.version}"
        staging.mkdir(parents=True, exist_ok=True)
        entries = {}
        for name in wanted:
            checksum = self._checksum(release.address, name)
            if name == "idc_index" and checksum != release.checksum:
                raise SourceError("IDC published another version while this one was fetched: run the update again")
            path = staging / f"{name}.parquet"
            self._fetch(f"{release.address}/{name}.parquet", checksum, path, stage(name))
            try:
                check_table(path, name, release.version)
            except SourceError:
                path.unlink()
                raise
            entries[name] = {
                "sha256": checksum,
                "bytes": path.stat().st_size,
                "url": f"{release.address}/{name}.parquet",
                "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        folder = version_dir(release.version)
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            (staging / f"{name}.parquet").replace(folder / f"{name}.parquet")
        ledger = ledger_of(release.version) | entries
        write_json_whole(folder / LEDGER, {"version": release.version, "tables": ledger})
        shutil.rmtree(staging, ignore_errors=True)

    def _fetch(self, url: str, checksum: str, path: Path, progress: Callable[[int, int], None]) -> None:
        """Read `url` into `path`, which appears whole. What another attempt has read of the same bytes is kept."""
        if path.is_file() and _sha256(path) == checksum:
            return
        part = path.with_name(f"{path.name}.{checksum[:16]}.part")
        resumed = part.is_file() and part.stat().st_size > 0
        self._append(url, part, progress)
        found = _sha256(part)
        if found != checksum and resumed:  # what was there may have been wrong: once more from the beginning
            part.unlink()
            self._append(url, part, progress)
            found = _sha256(part)
        if found != checksum:
            size = part.stat().st_size
            part.unlink()
            raise SourceError(
                f"{url}: SHA-256 of the {size:,} bytes that came is {found[:16]}..., published is {checksum[:16]}...; "
                "they were thrown away, nothing else was changed: try again"
            )
        part.replace(path)

    def _append(self, url: str, part: Path, progress: Callable[[int, int], None]) -> None:
        """Read what is missing of a file, and go on where the connection breaks."""
        for attempt in range(_ATTEMPTS):
            start = part.stat().st_size if part.is_file() else 0
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
            try:
                self._read(url, headers, part, start, progress)
                return
            except requests.RequestException as error:
                if attempt == _ATTEMPTS - 1:
                    size = part.stat().st_size if part.is_file() else 0
                    raise SourceError(
                        f"{public_address(url)} broke off ({describe(error)}) at {size:,} bytes, which are kept: "
                        "run the update again to go on"
                    ) from error

    def _read(
        self, url: str, headers: dict[str, str], part: Path, start: int, progress: Callable[[int, int], None]
    ) -> None:
        try:
            answer = self._client.get(url, headers=headers, stream=True)
        except HttpError as error:
            if error.status == 416:  # nothing is missing: the checksum says whether it is right
                return
            raise
        with answer:
            start = start if answer.status_code == 206 else 0
            total = start + int(answer.headers.get("Content-Length") or 0)
            done = start
            with part.open("r+b" if start else "wb") as stream:
                stream.seek(start)
                for block in answer.iter_content(_BLOCK):
                    stream.write(block)
                    done += len(block)
                    progress(done, max(done, total))
                stream.flush()
                os.fsync(stream.fileno())

    def _checksum(self, address: str, table: str) -> str:
        url = f"{address}/{table}.parquet.sha256"
        text = self._client.get(url).text
        match = _CHECKSUM.fullmatch(text)
        if match is None:
            raise SourceError(f"{url} is no SHA-256: it begins with {' '.join(text.split())[:40]!r}")
        return match[1].lower()

    def _version_of(self, address: str) -> str:
        """The version that the footer of ``idc_index`` names."""
        url = f"{address}/idc_index.parquet"
        footer = self._tail(url, _FOOTER)
        length = int.from_bytes(footer[-8:-4], "little") + 12
        if footer[-4:] == b"PAR1" and length > len(footer):
            footer = self._tail(url, length)
        try:
            return _version_in(pq.read_schema(io.BytesIO(footer)).metadata or {}, url)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{url} is no Parquet file: it ends with {footer[-16:]!r}") from error

    def _tail(self, url: str, length: int) -> bytes:
        """The last bytes of a file, in front of which Parquet wants its mark."""
        headers = {"Range": f"bytes=-{length}", "Accept-Encoding": "identity"}
        with self._client.get(url, headers=headers, stream=True) as answer:
            if answer.status_code != 206 and int(answer.headers.get("Content-Length") or 2 * length) > length:
                raise SourceError(f"{url}: the server does not give parts of files, by which versions are compared")
            return b"PAR1" + answer.content[-length:]

    def _newest(self, beginning: str) -> str:
        """The newest version that begins so, by the list of folders that object storage gives (S3's ListObjects)."""
        if not re.fullmatch(r"\d+(\.\d+)?", beginning):
            raise SourceError(f"a version is such as 25 or 25.0.5, got {beginning!r}")
        try:
            text = self._client.get("", params={"delimiter": "/", "prefix": f"{beginning}."}).text
        except HttpError as error:
            raise SourceError(
                f"which versions begin with {beginning} is not said ({error}): name one in full, such as 24.0.3"
            ) from error
        names = [name for name in re.findall(r"<Prefix>([\d.]+)/</Prefix>", text) if is_version(name)]
        if not names:
            raise SourceError(f"IDC lists no version that begins with {beginning}: name one in full, such as 24.0.3")
        return max(names, key=sort_key)


def check_table(path: Path, table: str, version: str) -> None:
    """Raise unless a file is this table of this version, whole, with the columns that are needed.

    Raises
    ------
    SourceError
        It is no Parquet file, lacks a column, is of another version, or has a series twice.
    """
    needed = (MAIN_COLUMNS | SIDE_COLUMNS)[table]
    try:
        metadata = pq.read_schema(path).metadata or {}
        with duckdb.connect(config=CONFIG) as connection:
            missing = [name for name in needed if name not in columns_of(connection, path)]
            if missing:
                raise SourceError(f"{table} of version {version} lacks the columns {', '.join(missing)}")
            if "SeriesInstanceUID" in needed and table != "prior_versions_index":
                _check_once(connection, path, table)
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{table} of version {version} is no Parquet file that can be read: {reason}") from error
    if _DATA_VERSION in metadata and (found := _version_in(metadata, table)) != version:
        raise SourceError(f"{table} is of version {found}, the others are of {version}: try again later")


def _check_once(connection: duckdb.DuckDBPyConnection, path: Path, table: str) -> None:
    query = "SELECT count(*), count(DISTINCT SeriesInstanceUID) FROM read_parquet(?)"
    ((rows, series),) = connection.execute(query, [str(path)]).fetchall()
    if rows != series:
        raise SourceError(f"{table} has {rows:,} rows of {series:,} series: each should have one")


def _version_in(metadata: dict[bytes, bytes], place: str) -> str:
    text = metadata.get(_DATA_VERSION, b"").decode("ascii", "replace").partition("-")[0]
    if not is_version(text):
        raise SourceError(f"{place} does not say its version (idc_index_data_version is {text!r})")
    return text


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _full_disk_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"cannot write into {index_dir()}: {error.strerror or error}; {CACHE_VARIABLE} names another folder"
        ) from error
