"""NCI Imaging Data Commons: its index of every public series, offline.

The tables come with the package ``idc-index-data``; newer ones and side indices are fetched by `idc_update`. Each is
one Parquet file in a single row group, of which every query reads whole columns. They are laid anew once, into a DuckDB
file in the user's cache: see `idc_layout`. Nothing here uses the network.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._lazy import LazyModule
from .._places import CACHE_VARIABLE
from ..errors import SourceError
from .idc_layout import CONFIG, LAYOUT, NAME, VOCABULARY, lay
from .idc_versions import (
    DISTRIBUTION,
    IdcVersion,
    current_version,
    index_dir,
    installed_file,
    installed_version,
    versions_here,
)

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = LazyModule("duckdb")  # slow, and many commands do without

__all__ = [
    "CONFIG",
    "DISTRIBUTION",
    "NAME",
    "VOCABULARY",
    "build_database",
    "database_path",
    "installed_file",
    "installed_version",
    "public_database",
    "series_query",
]

_DATABASE = re.compile(
    r"idc-(?P<version>\d+(?:\.\d+){2})(?P<tables>-[0-9a-f]{10})?-layout(?P<layout>\d+)-duckdb.+\.duckdb"
)


def series_query(database: str, columns: Sequence[str] = (), *, text_key: bool = False) -> str:
    """SQL of the public series with the columns of `SeriesRecord` in their order, or some, from an attached database.

    A condition may follow it. With `text_key` a last column of this name finds the words of the series in the table
    ``texts``; no index has it.
    """
    chosen = ", ".join(columns) or f"*{'' if text_key else ' EXCLUDE (text_key)'}"
    return f"SELECT {chosen} FROM {database}.series"


def database_path(version: IdcVersion | None = None) -> Path:
    """Where a version is laid: by its tables, the layout and DuckDB's version, whose files another may not read.

    Raises
    ------
    SourceError
        No version is named, and none or not the pinned one is here.
    """
    version = version or current_version()
    return index_dir() / f"idc-{version.label}-layout{LAYOUT}-duckdb{duckdb.__version__}.duckdb"


def public_database(progress: Callable[[int, int], None] | None = None) -> Path:
    """The public index as a DuckDB file, made at first use: some seven seconds and 200 MB.

    Parameters
    ----------
    progress
        Called with the number of steps done and of all steps, only where the file has to be made.

    Raises
    ------
    SourceError
        No version is here, its files cannot be read, or the cache cannot be written.
    """
    version = current_version()
    path = database_path(version)
    if not path.is_file():
        build_database(path, progress, version)
        _remove_superseded(path)
    return path


def _remove_superseded(path: Path) -> None:
    """Remove databases that nothing opens any more: of older layouts, or of this version with other tables.

    A process that has one open keeps what it reads until it ends; Windows refuses, and the next one tries again. One of
    the same layout for another version of IDC or of DuckDB stays: another environment may use it. An old program that
    is still in use lays its own again.
    """
    kept = _DATABASE.fullmatch(path.name)
    for other in path.parent.glob("idc-*.duckdb"):
        found = _DATABASE.fullmatch(other.name)
        if kept is None or found is None or int(found["layout"]) > LAYOUT:
            continue
        is_other = found["version"] == kept["version"] and found["tables"] != kept["tables"]
        if int(found["layout"]) < LAYOUT or is_other:
            with contextlib.suppress(OSError):
                other.unlink()


def build_database(
    path: Path, progress: Callable[[int, int], None] | None = None, version: IdcVersion | None = None
) -> Path:
    """Lay a version into `path`, whole or not at all. Processes that do so at once do no harm.

    Parameters
    ----------
    version
        By default the one that `path` is named after or, where it is named otherwise, the current one.

    Raises
    ------
    SourceError
        The files of the version cannot be read, or `path` cannot be written.
    """
    version = version or _version_of(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lay(version.files, temporary, progress or (lambda done, total: None))
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"the public index {version.files['idc_index']} could not be laid anew into {path}: {reason}; "
            f"{CACHE_VARIABLE} names another folder for it"
        ) from error
    finally:
        for leftover in (temporary, temporary.with_name(f"{temporary.name}.wal")):
            with contextlib.suppress(OSError):
                leftover.unlink()
        shutil.rmtree(temporary.with_name(f"{temporary.name}.tmp"), ignore_errors=True)  # where DuckDB spills
    return path


def _version_of(path: Path) -> IdcVersion:
    named = (one for one in versions_here() if database_path(one).name == path.name)
    return next(named, None) or current_version()
