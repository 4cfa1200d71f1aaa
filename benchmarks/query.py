"""Ask the public index. Peers: DuckDB on the file as it comes, on a table made of it, pandas.

python -m benchmarks.query [--json FILE]

Four questions, each answered as an Arrow table or a data frame, in one process that is warm, the contenders in turn
(pandas in a process of its own, in the environment of the peers); and the first answer of a fresh process.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from medimagenet import open_index
from medimagenet.index import Index
from medimagenet.sources.idc import installed_file

from . import measure, rows
from .measure import Contender

AREA = "query"
FILE, TABLE = "DuckDB, file", "DuckDB, table"
SERIES = "1.3.6.1.4.1.32722.99.99.298991776521342375010861296712563382046"
PANDAS = str(Path(__file__).parent / "peers" / "pandas_queries.py")
GOALS = {  # least ratio per question and peer
    "filter": {FILE: 1.0, TABLE: 1 / 1.2},
    "studies with CT and RTSTRUCT": {FILE: 1.0, TABLE: 1 / 1.2, "pandas": 5.0},
    "text": {FILE: 2.0, TABLE: 1 / 1.2},
    "one series": {FILE: 10.0, TABLE: 1 / 1.2, "pandas": 10.0},
}
QUESTIONS = {
    "filter": "SELECT * FROM {t} WHERE Modality = 'CT' AND instanceCount >= 60",
    "studies with CT and RTSTRUCT": (
        "SELECT DISTINCT StudyInstanceUID FROM {t} WHERE Modality = 'CT' "
        "AND StudyInstanceUID IN (SELECT StudyInstanceUID FROM {t} WHERE Modality = 'RTSTRUCT')"
    ),
    "text": "SELECT * FROM {t} WHERE contains(lower(SeriesDescription), 'liver')",
    "one series": "SELECT * FROM {t} WHERE SeriesInstanceUID = '" + SERIES + "'",
}
OWN = {  # columns that the file has under other names or not at all are left out for all
    "filter": "SELECT {c} FROM series WHERE Modality = 'CT' AND n_instances >= 60",
    "studies with CT and RTSTRUCT": QUESTIONS["studies with CT and RTSTRUCT"].format(t="series"),
    "text": "SELECT {c} FROM series WHERE contains(lower(SeriesDescription), 'liver')",
    "one series": f"SELECT {{c}} FROM series WHERE SeriesInstanceUID = '{SERIES}'",
}
COLUMNS = (
    "collection_id, PatientID, PatientAge, PatientSex, StudyInstanceUID, SeriesInstanceUID, StudyDescription, "
    "SeriesDescription, BodyPartExamined, Modality, Manufacturer, ManufacturerModelName, crdc_series_uuid"
)
FIRST = f"""
from medimagenet import open_index
print(len(open_index().sql("{OWN["one series"].format(c="*")}")))
"""
FIRST_FILE = """
import duckdb, sys
print(len(duckdb.sql(f"SELECT * FROM '{sys.argv[1]}' WHERE SeriesInstanceUID = '{sys.argv[2]}'").to_arrow_table()))
"""


def main() -> None:
    options = rows.options(__doc__)
    index = open_index()
    len(index)  # laid into the cache, if it was not
    file = str(installed_file("idc_index"))
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(Path(folder, "x.duckdb"))) as connection:
        connection.execute(f"CREATE TABLE plain AS SELECT * FROM '{file}'")
        pandas = _pandas(options.peers, file, options.rounds)
        for name in QUESTIONS:
            results += _rows(name, _contenders(name, index, connection, file), pandas, options.rounds)
    results += _starts(file, options.rounds)
    notes = [
        "All found the same number of rows, and us and DuckDB the same series.",
        "A fresh process finds one series.",
    ]
    rows.finish(AREA, results, notes, {"duckdb": duckdb.__version__} | _version(pandas), options.json)


def _contenders(name: str, index: Index, connection: Any, file: str) -> dict[str, Callable[[], Any]]:
    question = QUESTIONS[name].replace("SELECT *", f"SELECT {COLUMNS}")
    return {
        rows.OURS: lambda: index.sql(OWN[name].format(c=COLUMNS)),
        FILE: lambda: connection.sql(question.format(t=f"'{file}'")).to_arrow_table(),
        TABLE: lambda: connection.sql(question.format(t="plain")).to_arrow_table(),
    }


def _rows(
    name: str, contenders: Mapping[str, Callable[[], Any]], pandas: Mapping[str, Any] | None, rounds: int
) -> list[dict[str, Any]]:
    answers = {who: question() for who, question in contenders.items()}
    _check_equal(name, answers, pandas)
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, question in contenders.items():
            start = time.perf_counter()
            question()
            times[who].append(1000 * (time.perf_counter() - start))
    values = {who: statistics.median(taken) for who, taken in times.items()}
    if pandas is not None:
        values["pandas"] = 1000 * pandas["answers"][name]["seconds"]
    ours = rows.alone(AREA, name, values[rows.OURS], "ms")
    pairs = [{rows.OURS: values[rows.OURS], who: value} for who, value in values.items() if who != rows.OURS]
    return [ours, *(rows.compare(AREA, name, pair, "ms", GOALS[name].get([*pair][1]))[1] for pair in pairs)]


def _check_equal(name: str, answers: Mapping[str, Any], pandas: Mapping[str, Any] | None) -> None:
    column = answers[rows.OURS].column_names[0] if name.startswith("studies") else "SeriesInstanceUID"
    expected = sorted(answers[rows.OURS].column(column).to_pylist())
    for who, answer in answers.items():
        if sorted(answer.column(column).to_pylist()) != expected:
            raise SystemExit(f"{who} found {len(answer)} rows for {name!r}, {rows.OURS} {len(expected)}")
    if pandas is not None and pandas["answers"][name]["rows"] != len(expected):
        raise SystemExit(
            f"pandas found {pandas['answers'][name]['rows']} rows for {name!r}, {rows.OURS} {len(expected)}"
        )


def _starts(file: str, rounds: int) -> list[dict[str, Any]]:
    """The first answer of a fresh process: time and memory."""
    contenders = [
        Contender(who=rows.OURS, command=[sys.executable, "-c", FIRST]),
        Contender(who=FILE, command=[sys.executable, "-c", FIRST_FILE, file, SERIES]),
    ]
    measured = measure.measure(contenders, rounds)
    command = [measure.our_program(), "search", "--collection", "nsclc_radiomics", "--modality", "CT"]
    program = measure.measure([Contender(who=rows.OURS, command=command)], rounds)[rows.OURS]
    return [
        *rows.compare(AREA, "first answer: time", {who: m.seconds for who, m in measured.items()}, "s", None),
        *rows.compare(
            AREA, "first answer: memory", {who: m.peak_bytes / 2**20 for who, m in measured.items()}, "MiB", None
        ),
        rows.alone(AREA, "medimagenet search: time", program.seconds, "s"),
    ]


def _pandas(peers: Path, file: str, rounds: int) -> dict[str, Any] | None:
    python = peers / "bin" / "python"
    if not python.is_file():
        print(f"no {python}: pandas is left out; `make bench` installs it", file=sys.stderr)
        return None
    command = [str(python), PANDAS, file, SERIES, str(rounds)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _version(pandas: Mapping[str, Any] | None) -> dict[str, str]:
    return {} if pandas is None else {"pandas": pandas["version"]}


if __name__ == "__main__":
    main()
