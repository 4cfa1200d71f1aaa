"""The rows that queries run on: tables in memory, the public index on disk, or both, behind one DuckDB connection."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError
from ..sources.idc import CONFIG, VOCABULARY, build_database, series_query
from .schema import SCHEMA

PUBLIC = "public_index"
"""Name of the attached database of the public index."""


class Rows:
    """Every row of an index. Any number of threads may ask.

    In queries ``whole`` is all rows, and ``series`` (also called ``index``) those that meet the conditions.

    Parameters
    ----------
    tables
        In memory, of one row per series, all with the same columns.
    public
        Database of the public index, where it is part of the index.
    """

    def __init__(self, tables: Sequence[pa.Table] = (), public: Path | None = None) -> None:
        self.tables = tuple(tables)
        self.public = public
        self.schema = SCHEMA if public is not None or not tables else tables[0].schema
        self._lock = threading.Lock()
        self._connection: Any = None

    def __reduce__(self) -> tuple[type["Rows"], tuple[Any, ...]]:
        return type(self), (self.tables, self.public)

    def table(self, query: str, conditions: Sequence[str] = ()) -> pa.Table:
        """Answer a query as an Arrow table.

        Raises
        ------
        ValueError
            The query gives no rows, but does something.
        duckdb.Error
            DuckDB does not understand the query.
        """
        return self._ask(query, conditions, lambda relation: relation.to_arrow_table())

    def fetch(self, query: str, conditions: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Answer a query as tuples. Errors as of `table`."""
        return self._ask(query, conditions, lambda relation: relation.fetchall())

    def values(self, column: str) -> list[str]:
        """The values of a text column, each once, sorted; quick for those in `VOCABULARY`."""
        found: set[str | None] = set()
        for table in self.tables:
            found.update(pc.unique(table.column(column)).to_pylist())
        if self.public is not None:
            if column not in VOCABULARY:
                raise ValueError(f"values are kept of {', '.join(VOCABULARY)}, not of {column!r}")
            found.update(
                value for (value,) in self.fetch(f"SELECT value FROM {PUBLIC}.vocabulary WHERE name = '{column}'")
            )
        return sorted(value for value in found if value)

    def _ask(self, query: str, conditions: Sequence[str], take: Callable[[Any], Any]) -> Any:
        with self._cursor() as cursor:
            for number, table in enumerate(self.tables):
                cursor.register(f"local_{number}", table)
            if self.tables:
                cursor.execute(f"CREATE TEMP VIEW whole AS {self._whole()}")
            if self.tables or conditions:
                where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
                _create_views(cursor, f"SELECT * FROM whole{where}", "TEMP")
            relation = cursor.sql(query)
            if relation is None:
                raise ValueError(f"query gives no rows; an index is not changed by queries: {query}")
            return take(relation)

    def _whole(self) -> str:
        parts = [f"SELECT * FROM local_{number}" for number in range(len(self.tables))]
        return " UNION ALL BY NAME ".join(parts + ([series_query(PUBLIC)] if self.public is not None else []))

    def _cursor(self) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection.cursor()

    def _connect(self) -> Any:
        connection = duckdb.connect(config=CONFIG)
        if self.public is None:
            return connection
        try:
            _attach(connection, self.public)
        except duckdb.Error:  # cut or overwritten: it is only a cache, and is made again
            build_database(self.public)
            try:
                _attach(connection, self.public)
            except duckdb.Error as error:
                raise SourceError(f"{self.public} cannot be opened: {error}; remove it and try again") from error
        if not self.tables:  # shared by all cursors: views made for each query take longer than finding one series
            connection.execute(f"CREATE VIEW whole AS {self._whole()}")
            _create_views(connection, "SELECT * FROM whole")
        return connection


def _create_views(connection: Any, query: str, kind: str = "") -> None:
    for name in ("series", '"index"'):
        connection.execute(f"CREATE {kind} VIEW {name} AS {query}")


def _attach(connection: Any, path: Path) -> None:
    connection.execute(f"ATTACH {quoted(str(path))} AS {PUBLIC} (READ_ONLY)")


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
