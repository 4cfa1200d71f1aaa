"""Index: one row per series, in memory as an Arrow table, on disk as Parquet, queried in SQL."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa

from .._lazy import LazyModule
from .._optional import require
from ..errors import IndexFileError
from ..sources.base import SeriesRecord
from ..sources.idc import NAME, public_database
from .html import html_table
from .links import ANNOTATIONS
from .query import Filters, conditions_for
from .report import files_path, format_report, read_report, report_path
from .rows import Rows, quoted
from .samples import SampleSet, find_samples, parse_modalities
from .schema import INDEX_VERSION, METADATA_KEY, complete, file_metadata, to_table
from .sides import sample_limits
from .stats import Stats, count_index

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

    from ..sources.inventory import Inventory  # would load the scan of headers, which a query does not need
else:
    duckdb = LazyModule("duckdb")  # a tenth of a second, which reading an index does without
    pq = LazyModule("pyarrow.parquet")  # which queries of the public index do not need

_HTML_ROWS = 10
_HTML_COLUMNS = ("collection_id", "PatientID", "Modality", "SeriesDescription", "n_instances", "size_bytes", "license")


class Index:
    """Series and where they are. Columns: the fields of `SeriesRecord`.

    The rows of the public index stay on disk until they are asked for.

    Parameters
    ----------
    table
        One row per series, with the columns of `SCHEMA`.
    problems
        Files that are in no row: path, code, severity, message.
    """

    def __init__(self, table: pa.Table, problems: Sequence[Mapping[str, str]] = ()) -> None:
        self._hold(Rows([table]), (), problems, table)

    def _hold(
        self,
        rows: Rows,
        conditions: Sequence[str],
        problems: Sequence[Mapping[str, str]],
        table: pa.Table | None = None,
    ) -> None:
        self._rows = rows
        self._conditions = tuple(conditions)
        self._table = table
        self.inventory: Inventory | None = None
        """Of the index of a folder: its files, so that the next time those unchanged need not be read."""
        self.problems = [dict(problem) for problem in problems]

    @classmethod
    def _of(cls, rows: Rows, conditions: Sequence[str] = (), problems: Sequence[Mapping[str, str]] = ()) -> "Index":
        """The rows that meet conditions, which are read when they are asked for."""
        index = cls.__new__(cls)
        index._hold(rows, conditions, problems)
        return index

    @property
    def table(self) -> pa.Table:
        """The rows as an Arrow table. Of the whole public index that is a gigabyte: `search` first."""
        if self._table is None:
            self._table = self._rows.table("SELECT * FROM series", self._conditions).cast(self._rows.schema)
        return self._table

    @classmethod
    def from_records(cls, records: Iterable[SeriesRecord], problems: Sequence[Mapping[str, str]] = ()) -> "Index":
        """The index of these records, in their order."""
        return cls(to_table(records), problems)

    @classmethod
    def read(cls, path: Path | str) -> "Index":
        """Read what `write` wrote, and the report beside it where there is one.

        Raises
        ------
        IndexFileError
            The file is missing, is no Parquet file or cut short, is no index, or is of a newer version.
        """
        path = Path(path)
        _check_file(path)
        try:
            with pq.ParquetFile(path) as file:  # read_table would import pandas where it is installed: half a second
                table = complete(file.read())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise IndexFileError(_damaged(path, error)) from error
        return cls(table, read_report(report_path(path)))

    def write(self, path: Path | str) -> None:
        """Write a Parquet file and X.report.csv beside it, each whole or not at all.

        Of the index of a folder there is X.files.parquet besides: what `index_directory` needs, to read only what has
        changed. An index that is there is replaced. Its bytes depend on nothing but the rows.

        Raises
        ------
        IndexFileError
            The folder does not exist, the path holds something that is no index, or the disk is full.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise IndexFileError(f"cannot write {path}: there is no folder {path.parent}; create it first")
        if path.exists():
            _refuse_foreign(path)
        table = self.table.replace_schema_metadata(file_metadata())
        writers: dict[Path, Callable[[Path], object]] = {
            report_path(path): lambda temporary: temporary.write_bytes(format_report(self.problems)),
            path: lambda temporary: pq.write_table(table, temporary, compression="zstd"),
        }
        if self.inventory is not None:
            writers[files_path(path)] = self.inventory.write
        _write_whole(writers)

    def __len__(self) -> int:
        if self._table is not None:
            return int(self._table.num_rows)
        ((count,),) = self.fetch("SELECT count(*) FROM series")
        return int(count)

    def __repr__(self) -> str:
        return f"Index({len(self)} series, {len(self.problems)} files in no series)"

    def rows(self) -> list[dict[str, Any]]:
        """Every row as a dict: lists for list columns, None where absent, findings as dicts."""
        return self.table.to_pylist()

    def sql(self, query: str) -> pa.Table:
        """Answer a query in DuckDB's SQL, where the rows are the table ``series`` (also called ``index``).

        Raises
        ------
        ValueError
            DuckDB does not understand the query.

        Examples
        --------
        >>> index.sql("SELECT Modality, count(*) AS n FROM series GROUP BY ALL ORDER BY n")  # doctest: +SKIP
        """
        try:
            return self._rows.table(query, self._conditions)
        except duckdb.Error as error:
            columns = ", ".join(self._rows.schema.names)
            raise ValueError(f"query failed: {error}\nquery: {query}\ntable series has columns {columns}") from error

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Answer a query as plain tuples, which is quicker than `sql` for a few rows.

        Raises
        ------
        ValueError
            DuckDB does not understand the query.
        """
        try:
            return self._rows.fetch(query, self._conditions)
        except duckdb.Error as error:
            raise ValueError(f"query failed: {error}\nquery: {query}") from error

    def search(self, **filters: Unpack[Filters]) -> "Index":
        """The series that meet all of `filters`, as an index: search it again, query it, write it.

        What can be asked for is said at the fields of `Filters`.

        Raises
        ------
        ValueError
            A filter or a value that is not known, with the closest that are, or one that this index cannot answer.

        Examples
        --------
        >>> index = open_index()  # doctest: +SKIP
        >>> index.search(modality="CT", annotated_by="RTSTRUCT", license="commercial", age=(18, 80))  # doctest: +SKIP
        """
        found = conditions_for(self._rows, filters)
        return Index._of(self._rows, (*self._conditions, *found))

    def search_images(self, **filters: Unpack[Filters]) -> "Index":
        """The images that meet all of `filters`, and the annotations of their studies, as an index.

        Of annotations (RTSTRUCT, SEG, RTPLAN, RTDOSE) most filters are not meant: they have one instance, and often no
        age.

        Raises
        ------
        ValueError
            As of `search`.
        """
        found = conditions_for(self._rows, filters)
        if not found:
            return self
        images = " AND ".join(found)
        annotations = f"Modality IN ({', '.join(map(quoted, ANNOTATIONS))})"
        of_images = f"StudyInstanceUID IN (SELECT StudyInstanceUID FROM whole WHERE {images})"
        return Index._of(self._rows, (*self._conditions, f"(({images}) OR ({annotations} AND {of_images}))"))

    def stats(self) -> Stats:
        """How much of what there is: patients, series, bytes, by modality and by licence."""
        return count_index(self)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.table

    def to_polars(self) -> Any:
        """The rows as a polars DataFrame.

        Raises
        ------
        MissingPackageError
            polars is not installed.
        """
        return require("polars", extra="notebook").from_arrow(self.table)

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        require("pandas", extra="notebook")
        return self.table.to_pandas()

    def samples(self, modalities: str | Sequence[str]) -> SampleSet:
        """Series that belong together: see `find_samples`.

        What public series refer to is in the side indices rtstruct_index and seg_index. Where they are not here, or do
        not tell it, only others are joined. A million series take long: `search` first.

        Raises
        ------
        ValueError
            Wrong modalities, or public series alone that cannot be joined, with the reason.
        """
        if self._rows.public is None:
            return find_samples(self, modalities)
        asked = parse_modalities(modalities)
        limits = sample_limits(self.side_indices, asked)
        if limits and not self._rows.tables:
            raise ValueError(f"samples {modalities!r} of public series: {'; '.join(limits)}")
        names = ", ".join(map(quoted, asked))
        return find_samples(
            self.narrowed(f"source <> '{NAME}'" + ("" if limits else f" OR Modality IN ({names})")), asked
        )

    @property
    def is_whole_public(self) -> bool:
        """Whether this is all of the public index and nothing else."""
        return self._rows.public is not None and not self._rows.tables and not self._conditions

    @property
    def side_indices(self) -> frozenset[str] | None:
        """The side indices of the public index that are here; None where the public index is no part of this one."""
        return self._rows.side_indices

    def narrowed(self, condition: str) -> "Index":
        """The series that also meet a condition in SQL, such as ``n_instances > 60``.

        Raises
        ------
        ValueError
            DuckDB does not understand the condition.
        """
        found = Index._of(self._rows, (*self._conditions, f"({condition})"), self.problems)
        found.sql("SELECT key FROM series LIMIT 0")
        return found

    def _repr_html_(self) -> str:
        """The first rows, for notebooks."""
        rows = self.fetch(f"SELECT {', '.join(_HTML_COLUMNS)} FROM series LIMIT {_HTML_ROWS}")
        return html_table(_HTML_COLUMNS, rows, total=len(self))

    @staticmethod
    def paths(row: Mapping[str, Any]) -> list[Path]:
        """The files of a row; images in the order of their stack."""
        return [Path(row["uri"], name) for name in row["files"]]


def open_index(
    path: Path | str | Sequence[Path | str] | None = None,
    *,
    public: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Index:
    """Open the public index, an index file, or several as one.

    Parameters
    ----------
    path
        A file that `Index.write` wrote, or several; None for the public index alone.
    public
        Whether the public index is part of it; by default where no path is given. It needs no network: it comes with
        the installation, and is laid into the user's cache at first use.
    progress
        Called with the number of steps done and of all, where the public index has to be laid into the cache.

    Raises
    ------
    IndexFileError
        A file is missing, is no Parquet file or cut short, is no index, or is of a newer version.
    SourceError
        The public index is not installed, or its cache cannot be written.
    ValueError
        Neither a path nor the public index.
    """
    paths = [path] if isinstance(path, Path | str) else list(path or ())
    if not paths and (public is False or path is not None):
        raise ValueError(f"no index to open: got path={path!r}, public={public!r}")
    indexes = [Index.read(one) for one in paths]
    if len(indexes) == 1 and not public:
        return indexes[0]
    database = public_database(progress) if public or not paths else None
    problems = [problem for index in indexes for problem in index.problems]
    return Index._of(Rows([index.table for index in indexes], database), problems=problems)


def _check_file(path: Path) -> None:
    """Raise unless the file is an index that this version reads."""
    if path.is_dir():
        raise IndexFileError(f'{path} is a folder, not an index: make one with "medimagenet index {path} -o X.parquet"')
    if not path.is_file():
        raise IndexFileError(f'no index at {path}: make one with "medimagenet index DIR -o {path}"')
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise IndexFileError(_damaged(path, error)) from error
    version = _version(metadata)
    if version is None:
        raise IndexFileError(f'{path} is Parquet but no index: make one with "medimagenet index DIR -o X.parquet"')
    if version > INDEX_VERSION:
        raise IndexFileError(
            f"{path} is an index of version {version}, this program reads up to {INDEX_VERSION}: "
            "update with pip install --upgrade medimagenet, or index the folder again"
        )


def _version(metadata: Mapping[bytes, bytes]) -> int | None:
    """The index version that Parquet metadata name, None where they name none."""
    try:
        version = json.loads(metadata[METADATA_KEY])["index_version"]
    except (KeyError, ValueError, TypeError):
        return None
    return version if isinstance(version, int) else None


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return f'{path} is no Parquet file or is cut short ({reason}): make it again with "medimagenet index DIR -o {path}"'


def _refuse_foreign(path: Path) -> None:
    """Raise unless what is there is an index of any version: nothing else is ever overwritten."""
    try:
        is_index = path.is_file() and _version(pq.read_schema(path).metadata or {}) is not None
    except (pa.ArrowException, OSError):
        is_index = False
    if not is_index:
        raise IndexFileError(
            f"{path} is there and is no index: it is not overwritten; choose another name or remove it"
        )


def _write_whole(writers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write every file under a temporary name beside it, flush it to the disk; then move all into place."""
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in writers}
    try:
        for path, write in writers.items():
            write(temporaries[path])
            with temporaries[path].open("rb+") as stream:
                os.fsync(stream.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    except OSError as error:
        raise IndexFileError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
