"""Index: one row per series, in memory as an Arrow table, on disk as Parquet, queried in SQL."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from .._optional import require
from ..errors import IndexFileError
from ..sources.base import SeriesRecord
from .report import format_report, read_report, report_path
from .samples import SampleSet, find_samples
from .schema import INDEX_VERSION, METADATA_KEY, SCHEMA, file_metadata, to_row


class Index:
    """Series and where they are. Columns: the fields of `SeriesRecord`.

    Parameters
    ----------
    table
        One row per series, with the columns of `SCHEMA`.
    problems
        Files that are in no row: path, code, severity, message.
    """

    def __init__(self, table: pa.Table, problems: Sequence[Mapping[str, str]] = ()) -> None:
        self.table = table
        self.problems = [dict(problem) for problem in problems]

    @classmethod
    def from_records(cls, records: Iterable[SeriesRecord], problems: Sequence[Mapping[str, str]] = ()) -> "Index":
        """The index of these records, in their order."""
        return cls(pa.Table.from_pylist([to_row(record) for record in records], schema=SCHEMA), problems)

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
            table = pq.read_table(path).select(SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise IndexFileError(_damaged(path, error)) from error
        return cls(table, read_report(report_path(path)))

    def write(self, path: Path | str) -> None:
        """Write a Parquet file and X.report.csv beside it, each whole or not at all.

        An index that is there is replaced. The bytes depend on nothing but the rows.

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
        _write_whole(
            {
                report_path(path): lambda temporary: temporary.write_bytes(format_report(self.problems)),
                path: lambda temporary: pq.write_table(table, temporary, compression="zstd"),
            }
        )

    def __len__(self) -> int:
        return int(self.table.num_rows)

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
        connection = duckdb.connect()
        try:
            for name in ("series", "index"):
                connection.register(name, self.table)
            answer = connection.sql(query)
            if answer is None:
                raise ValueError(f"query gives no rows; an index is not changed by queries: {query}")
            return answer.to_arrow_table()
        except duckdb.Error as error:
            columns = ", ".join(self.table.column_names)
            raise ValueError(f"query failed: {error}\nquery: {query}\ntable series has columns {columns}") from error
        finally:
            connection.close()

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
        """Series that belong together: see `find_samples`."""
        return find_samples(self, modalities)

    @staticmethod
    def paths(row: Mapping[str, Any]) -> list[Path]:
        """The files of a row; images in the order of their stack."""
        return [Path(row["uri"], name) for name in row["files"]]


def open_index(path: Path | str) -> Index:
    """Open an index file.

    Raises
    ------
    IndexFileError
        The file is missing, is no Parquet file or cut short, is no index, or is of a newer version.
    """
    return Index.read(path)


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
