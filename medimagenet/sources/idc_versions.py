"""Which versions of IDC's index are here: the one of the installed package, and those that were fetched since.

A fetched version is a folder ``idc-VERSION`` in the user's cache, with the Parquet files and ``tables.json``, which is
written last: what it does not name is not there. A version may have side indices only, where its main tables are those
of the installed package. The user's own choice, a pinned version, is in the config folder.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._places import cache_dir, config_dir
from ..errors import SourceError
from .idc_layout import MAIN_COLUMNS, SIDE_COLUMNS

DISTRIBUTION = "idc-index-data"
LEDGER = "tables.json"
CHOICE = "public-index.json"
"""In the config folder: ``{"version": "24.0.1"}`` where the user pinned one."""

TABLES = (*MAIN_COLUMNS, *SIDE_COLUMNS)

_VERSION = re.compile(r"\d+(\.\d+){2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdcVersion:
    """A version of IDC's index on this machine."""

    version: str
    """Such as ``25.0.5``; the number before the first point is IDC's own version."""
    installed: bool
    """Whether its main tables are those of the installed package."""
    files: Mapping[str, Path] = field(repr=False)
    """Parquet files by table."""
    checksums: Mapping[str, str] = field(repr=False)
    """SHA-256 of fetched tables."""

    @property
    def side_indices(self) -> tuple[str, ...]:
        """Names of the side indices that are here."""
        return tuple(name for name in SIDE_COLUMNS if name in self.files)

    @property
    def size_bytes(self) -> int:
        """Of the fetched files."""
        return sum(self.files[name].stat().st_size for name in self.checksums)

    @property
    def label(self) -> str:
        """For file names: the version and, where tables were fetched, which."""
        if not self.checksums:
            return self.version
        digest = hashlib.sha256("".join(f"{name}{self.checksums[name]}" for name in sorted(self.checksums)).encode())
        return f"{self.version}-{digest.hexdigest()[:10]}"


def installed_version() -> str:
    """Version of the installed index, such as ``25.0.5``; the number before the first point is IDC's own version.

    Raises
    ------
    SourceError
        The package is not installed.
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise SourceError(f"the public index is not installed: pip install {DISTRIBUTION}") from error


def installed_file(table: str) -> Path:
    """Parquet file of a table of the installed index, such as ``idc_index`` or ``collections_index``.

    Raises
    ------
    SourceError
        The package, or this file of it, is not installed.
    """
    found = importlib.util.find_spec("idc_index_data")  # not imported: that reads every schema, half a second
    if found is None or found.origin is None:
        raise SourceError(f"the public index is not installed: pip install {DISTRIBUTION}")
    path = Path(found.origin).parent / f"{table}.parquet"
    if not path.is_file():
        raise SourceError(f"{path} is missing: pip install --force-reinstall {DISTRIBUTION}")
    return path


def index_dir() -> Path:
    """Folder of everything that belongs to the public index. Not created here."""
    return cache_dir() / "index"


def version_dir(version: str) -> Path:
    """Folder of what was fetched of a version."""
    return index_dir() / f"idc-{version}"


def versions_here() -> list[IdcVersion]:
    """The versions on this machine, newest first.

    Raises
    ------
    SourceError
        There is none: the package is not installed, and nothing was fetched.
    """
    installed = _installed_or_none()
    names = {path.parent.name.removeprefix("idc-") for path in index_dir().glob(f"idc-*/{LEDGER}")}
    names = {name for name in names if is_version(name)} | ({installed} if installed else set())
    found = [one for one in (_version(name, installed) for name in names) if "idc_index" in one.files]
    if not found:
        installed_version()  # says that it is not installed, and how it is
    return sorted(found, key=lambda one: sort_key(one.version), reverse=True)


def current_version() -> IdcVersion:
    """The version that `open_index` opens: the pinned one, else the newest.

    Raises
    ------
    SourceError
        The pinned version, or any, is not here.
    """
    here = versions_here()
    pinned = pinned_version()
    if pinned is None:
        return here[0]
    for one in here:
        if one.version == pinned:
            return one
    others = ", ".join(one.version for one in here)
    raise SourceError(
        f"version {pinned} of the public index is pinned but not here (here: {others}): "
        f'"medimagenet update --pin {pinned}" fetches it, "medimagenet update --unpin" takes the newest'
    )


def find_version(name: str) -> IdcVersion | None:
    """The version of this name, or the newest that it is the beginning of: 24 may be 24.2.0. None: it is not here."""
    return next((one for one in versions_here() if f"{one.version}.".startswith(f"{name}.")), None)


def pinned_version() -> str | None:
    """The version that the user pinned.

    Raises
    ------
    SourceError
        The file that says so is damaged.
    """
    path = config_dir() / CHOICE
    try:
        version = json.loads(path.read_text())["version"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise SourceError(f"{path} does not say which version is pinned ({error}): remove it") from error
    return str(version)


def pin_version(version: IdcVersion | None) -> None:
    """Open this version from now on; None: the newest.

    Raises
    ------
    SourceError
        The choice cannot be written.
    """
    path = config_dir() / CHOICE
    if version is None:
        path.unlink(missing_ok=True)
        return
    write_json_whole(path, {"version": version.version})


def remove_version(version: IdcVersion) -> None:
    """Remove what was fetched of a version, and the databases that were laid of it.

    Raises
    ------
    ValueError
        It is pinned, or nothing of it was fetched.
    SourceError
        It cannot be removed.
    """
    if version.version == pinned_version():
        raise ValueError(f"version {version.version} is pinned: unpin it first")
    if not version.checksums:
        raise ValueError(f"version {version.version} is that of the installed package: nothing of it was fetched")
    folder = version_dir(version.version)
    try:
        (folder / LEDGER).unlink()  # first: from now on it is not there
        shutil.rmtree(folder)
        for path in index_dir().glob(f"idc-{version.label}-layout*.duckdb"):
            path.unlink()
    except OSError as error:
        raise SourceError(f"{folder} cannot be removed: {error.strerror or error}") from error


def is_version(text: str) -> bool:
    """Whether a text is a whole version, such as 25.0.5."""
    return _VERSION.fullmatch(text) is not None


def sort_key(version: str) -> tuple[int, ...]:
    """Versions in their order: 9.0.0 before 25.0.5."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def write_json_whole(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Raises
    ------
    SourceError
        It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as stream:
            json.dump(document, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def ledger_of(version: str) -> dict[str, dict[str, Any]]:
    """What was fetched of a version, by table: ``sha256``, ``bytes``, ``url``, ``fetched``."""
    try:
        tables = json.loads((version_dir(version) / LEDGER).read_text())["tables"]
        return {name: {"sha256": str(entry["sha256"]), **entry} for name, entry in tables.items() if name in TABLES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or damaged: nothing was fetched
        return {}


def _installed_or_none() -> str | None:
    try:
        return installed_version()
    except SourceError:
        return None


def _version(name: str, installed: str | None) -> IdcVersion:
    ledger = ledger_of(name)
    files = {table: version_dir(name) / f"{table}.parquet" for table in ledger}
    if name == installed:
        package = installed_file("idc_index")
        files = {table: package.with_name(f"{table}.parquet") for table in MAIN_COLUMNS} | files
    checksums = {table: str(entry["sha256"]) for table, entry in ledger.items()}
    return IdcVersion(version=name, installed=name == installed, files=files, checksums=checksums)
