"""The rows that queries run on: tables in memory, the public index on disk, or both, behind one DuckDB connection."""

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .._lazy import LazyModule
from ..errors import SourceError
from ..sources.idc import CONFIG, VOCABULARY, build_database, series_query
from ..sources.idc_layout import SIDE_COLUMNS
from .schema import SCHEMA

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = LazyModule("duckdb")  # a tenth of a second, which reading an index does without

PUBLIC = "public_index"
"""Name of the attached database of the public index."""

_COLUMNS = ", ".join(SCHEMA.names)


class Rows:
    """Every row of an index. Any number of threads may ask.

    In queries ``whole`` is all rows, and ``series`` (also called ``index``) those that meet the conditions. The side
    indices that are here go by their own names, such as ``ct_index``.

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
        self._side_indices: frozenset[str] = frozenset()
        self._values: dict[str, list[str]] = {}

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
        """The values of a text column or of its lists, each once, sorted; quick for those in `VOCABULARY`."""
        if column not in self._values:
            self._values[column] = self._find_values(column)
        return self._values[column]

    @property
    def side_indices(self) -> frozenset[str] | None:
        """The side indices of the public index that are here; None where it is no part of the rows."""
        if self.public is None:
            return None
        with self._lock:
            self._connected()
        return self._side_indices

    def _find_values(self, column: str) -> list[str]:
        found: set[str | None] = set()
        for table in self.tables:
            for values in table.column(column).chunks:
                found.update((values.flatten() if pa.types.is_list(values.type) else values).unique().to_pylist())
        if self.public is not None:
            if column not in VOCABULARY:
                raise ValueError(f"values are kept of {', '.join(VOCABULARY)}, not of {column!r}")
            found.update(
                value for (value,) in self.fetch(f"SELECT value FROM {PUBLIC}.vocabulary WHERE name = '{column}'")
            )
        return sorted(value for value in found if value)

    def _ask(self, query: str, conditions: Sequence[str], take: Callable[[Any], Any]) -> Any:
        with self._cursor() as cursor:
            if conditions and not self.tables and _PLAIN.fullmatch(query):
                with contextlib.suppress(duckdb.Error):  # asked again below: the message then shows the query alone
                    return take(cursor.sql(f"WITH {self._named(query, conditions)} {query}"))
            if not _PLAIN.fullmatch(query):
                _refuse_changes(cursor, query)
            for number, table in enumerate(self.tables):
                cursor.register(f"local_{number}", table)
            if self.tables:
                cursor.execute(f"CREATE TEMP VIEW whole AS {self._whole()}")
            if self.tables or conditions:
                _create_views(cursor, self._series(conditions), _names(query), "TEMP")
            relation = cursor.sql(query)
            if relation is None:
                raise ValueError(f"query gives no rows; an index is not changed by queries: {query}")
            return take(relation)

    def _named(self, query: str, conditions: Sequence[str]) -> str:
        """What ``series`` is, before a query: half a millisecond less than a view that is made for it."""
        series = self._series(conditions, _named_columns(query))
        return ", ".join(f'"{name}" AS NOT MATERIALIZED ({series})' for name in _names(query))

    def _series(self, conditions: Sequence[str], columns: Sequence[str] = ()) -> str:
        """Query of the rows that meet the conditions, with the columns of an index or, of the public one, with some."""
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        if self.public is not None and not self.tables:
            return series_query(PUBLIC, columns) + where  # of the table itself: one view fewer to plan
        return f"SELECT {'*' if self.public is None else _COLUMNS} FROM whole{where}"

    def _whole(self) -> str:
        parts = [f"SELECT * FROM local_{number}" for number in range(len(self.tables))]
        if self.public is not None:
            parts.append(series_query(PUBLIC, text_key=True))
        return " UNION ALL BY NAME ".join(parts)

    def _cursor(self) -> Any:
        with self._lock:
            return self._connected().cursor()

    def _connected(self) -> Any:
        """The connection that all cursors share. Called with the lock."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Any:
        if self.public is None:
            return duckdb.connect(config=CONFIG)
        try:
            return self._with_public(self.public)
        except duckdb.Error:  # cut, overwritten or of other columns: it is only a cache, and is made again
            build_database(self.public)
            try:
                return self._with_public(self.public)
            except duckdb.Error as error:
                raise SourceError(f"{self.public} cannot be opened: {error}; remove it and try again") from error

    def _with_public(self, path: Path) -> Any:
        connection = duckdb.connect(config=CONFIG)
        connection.execute(f"ATTACH {quoted(str(path))} AS {PUBLIC} (READ_ONLY)")
        tables = f"SELECT table_name FROM duckdb_tables() WHERE database_name = '{PUBLIC}'"
        self._side_indices = frozenset(name for (name,) in connection.execute(tables).fetchall()) & SIDE_COLUMNS.keys()
        for name in self._side_indices:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {PUBLIC}.{name}")
        if not self.tables:  # shared by all cursors: views made for each query take longer than finding one series
            connection.execute(f"CREATE VIEW whole AS {self._whole()}")
            _create_views(connection, self._series(()))
        return connection


_INDEX = re.compile(r"\bindex\b", re.IGNORECASE)
_PLAIN = re.compile(r"\s*SELECT\b[^;]*", re.IGNORECASE)
"""One query, before which others can be named."""

_PIVOT = re.compile(r"\s*(UN)?PIVOT\b[^;]*", re.IGNORECASE)
"""Reads too, though to some versions of DuckDB it is several statements."""

_LISTING = re.compile(
    r"\s*SELECT\s+(?P<listed>\w+(?:\s*,\s*\w+)*)\s+FROM\s+series\s*(?P<rest>(?:WHERE|ORDER|LIMIT)\b[^;]*)?",
    re.IGNORECASE,
)
_OTHERS = re.compile(r"\*|\b(SELECT|series|index|COLUMNS)\b", re.IGNORECASE)

_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""Kinds of statements, as DuckDB calls them, that change nothing. Others could take away the views that the next query
needs."""


def _named_columns(query: str) -> list[str]:
    """The columns of a query that lists them by name, none where it may need all: each takes DuckDB time to plan."""
    found = _LISTING.fullmatch(query)
    if found is None or _OTHERS.search(found["rest"] or ""):
        return []
    known = {name.lower(): name for name in SCHEMA.names}
    listed = [name.lower() for name in re.findall(r"\w+", found["listed"])]
    if not known.keys() >= set(listed):
        return []
    words = re.findall(r"\w+", (found["rest"] or "").lower())
    return [name for lower, name in known.items() if lower in {*listed, *words}]


def _refuse_changes(cursor: Any, query: str) -> None:
    if _PIVOT.fullmatch(query):
        return
    if not all(statement.type.name in _READING for statement in cursor.extract_statements(query)):
        raise ValueError(f"an index is not changed by queries, which only read\nquery: {query}")


def _names(query: str) -> tuple[str, ...]:
    return ("series", "index") if _INDEX.search(query) else ("series",)


def _create_views(connection: Any, query: str, names: Sequence[str] = ("series", "index"), kind: str = "") -> None:
    for name in names:
        connection.execute(f'CREATE {kind} VIEW "{name}" AS {query}')


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
