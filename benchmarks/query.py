"""Ask the public index. Peers: DuckDB on the file as it comes, on a table made of it, pandas, idc-index's client.

python -m benchmarks.query [--json FILE]

Questions in SQL, and the same as filters of `Index.search`, each answered as an Arrow table or a data frame in one
process that is warm, the contenders in turn (pandas and idc-index in processes of their own, in the environment of the
peers); the first answer of a fresh process; and how long the table takes to be laid.
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
from medimagenet.sources.idc import build_database, installed_file

from . import measure, rows
from .measure import Contender

AREA = "query"
FILE, TABLE = "DuckDB, file", "DuckDB, table"
SERIES = "1.3.6.1.4.1.32722.99.99.298991776521342375010861296712563382046"
PEERS = Path(__file__).parent / "peers"
START_S, START_MIB, COMMAND_S = 0.6, 300, 1.2
"""At most: to the first answer of the Python API, its memory, and of the command."""
GOALS = {  # least ratio per question and peer
    "filter": {FILE: 1.0, TABLE: 1 / 1.2},
    "studies with CT and RTSTRUCT": {FILE: 1.0, TABLE: 1 / 1.2, "pandas": 5.0},
    "text": {FILE: 2.0, TABLE: 1 / 1.2},
    "one series": {FILE: 10.0, TABLE: 1 / 1.2, "pandas": 10.0},
    "search: images with an RTSTRUCT": {FILE: 1.0, TABLE: 1 / 1.2},
    "search: words": {FILE: 2.0, TABLE: 1 / 1.2},
    "search: licence": {FILE: 1.0, TABLE: 1 / 1.2},
    "search: collection": {FILE: 1.0, TABLE: 1 / 1.2},
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
SEARCHES: dict[str, dict[str, Any]] = {
    "search: images with an RTSTRUCT": {"modality": "CT", "annotated_by": "RTSTRUCT"},
    "search: words": {"text": "liver"},
    "search: licence": {"license": "commercial", "modality": "MR"},
    "search: collection": {"collection": "tcga_kirc"},
}
WORDS = ("SeriesDescription", "StudyDescription", "BodyPartExamined", "ManufacturerModelName", "collection_id")
SEARCHED = {  # what `SEARCHES` mean, as one would write it
    "search: images with an RTSTRUCT": (
        "Modality = 'CT' AND StudyInstanceUID IN (SELECT StudyInstanceUID FROM {t} WHERE Modality = 'RTSTRUCT')"
    ),
    "search: words": " OR ".join(f"{name} ILIKE '%liver%'" for name in WORDS),
    "search: licence": "Modality = 'MR' AND license_short_name IN ('CC BY 3.0', 'CC BY 4.0')",
    "search: collection": "collection_id = 'tcga_kirc'",
}
FIRST = f"""
from medimagenet import open_index
print(len(open_index().sql("{OWN["one series"].format(c="*")}")))
"""
FIRST_CLIENT = f"""
from idc_index import IDCClient
print(len(IDCClient().sql_query("{QUESTIONS["one series"].format(t="index")}")))
"""
FIRST_PANDAS = """
import pandas, sys
table = pandas.read_parquet(sys.argv[1])
print(len(table[table.SeriesInstanceUID == sys.argv[2]]))
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
        peers = {
            "pandas": _peer(options.peers, "pandas_queries.py", file, SERIES, str(options.rounds)),
            "idc-index": _peer(options.peers, "idc_index_queries.py", _write_questions(folder)),
        }
        for name in (*QUESTIONS, *SEARCHED):
            results += _rows(name, _contenders(name, index, connection, file), peers, options.rounds)
        results += _laying(Path(folder))
    results += _starts(file, options.peers, options.rounds)
    notes = [
        "All found the same number of rows, and us and DuckDB the same series.",
        "A fresh process finds one series.",
        "idc-index asks its table in pandas through DuckDB; it is asked two questions, each once.",
    ]
    versions = {who: peer["version"] for who, peer in peers.items() if peer is not None}
    rows.finish(AREA, results, notes, {"duckdb": duckdb.__version__} | versions, options.json)


def _write_questions(folder: str) -> str:
    """What idc-index is asked, of its table `index`, in a file: each answer takes it a quarter of a minute and more."""
    path = Path(folder, "questions.json")
    asked = {name: _question(name).format(t="index") for name in ("filter", "one series")}
    path.write_text(json.dumps(asked))
    return str(path)


def _question(name: str) -> str:
    """SQL of the table {t} with IDC's own columns."""
    if name in QUESTIONS:
        return QUESTIONS[name].replace("SELECT *", f"SELECT {COLUMNS}")
    return f"SELECT {COLUMNS} FROM {{t}} WHERE {SEARCHED[name]}"


def _contenders(name: str, index: Index, connection: Any, file: str) -> dict[str, Callable[[], Any]]:
    question = _question(name)

    def ours() -> Any:
        if name in QUESTIONS:
            return index.sql(OWN[name].format(c=COLUMNS))
        return index.search(**SEARCHES[name]).sql(f"SELECT {COLUMNS} FROM series")

    return {
        rows.OURS: ours,
        FILE: lambda: connection.sql(question.format(t=f"'{file}'")).to_arrow_table(),
        TABLE: lambda: connection.sql(question.format(t="plain")).to_arrow_table(),
    }


def _rows(
    name: str, contenders: Mapping[str, Callable[[], Any]], peers: Mapping[str, Mapping[str, Any] | None], rounds: int
) -> list[dict[str, Any]]:
    answers = {who: question() for who, question in contenders.items()}
    told = {who: peer["answers"][name] for who, peer in peers.items() if peer is not None and name in peer["answers"]}
    _check_equal(name, answers, {who: answer["rows"] for who, answer in told.items()})
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, question in contenders.items():
            start = time.perf_counter()
            question()
            times[who].append(1000 * (time.perf_counter() - start))
    values = {who: statistics.median(taken) for who, taken in times.items()}
    values |= {who: 1000 * answer["seconds"] for who, answer in told.items()}
    ours = rows.alone(AREA, name, values[rows.OURS], "ms")
    pairs = [{rows.OURS: values[rows.OURS], who: value} for who, value in values.items() if who != rows.OURS]
    return [ours, *(rows.compare(AREA, name, pair, "ms", GOALS[name].get([*pair][1]))[1] for pair in pairs)]


def _check_equal(name: str, answers: Mapping[str, Any], told: Mapping[str, int]) -> None:
    column = answers[rows.OURS].column_names[0] if name.startswith("studies") else "SeriesInstanceUID"
    expected = sorted(answers[rows.OURS].column(column).to_pylist())
    for who, answer in answers.items():
        if sorted(answer.column(column).to_pylist()) != expected:
            raise SystemExit(f"{who} found {len(answer)} rows for {name!r}, {rows.OURS} {len(expected)}")
    for who, count in told.items():
        if count != len(expected):
            raise SystemExit(f"{who} found {count} rows for {name!r}, {rows.OURS} {len(expected)}")


def _laying(folder: Path) -> list[dict[str, Any]]:
    """Once for each version of the index: what the first question of all waits for."""
    start = time.perf_counter()
    path = build_database(folder / "laid.duckdb")
    seconds = time.perf_counter() - start
    return [
        rows.alone(AREA, "table laid: time", seconds, "s"),
        rows.alone(AREA, "table laid: size", path.stat().st_size / 2**20, "MiB"),
    ]


def _starts(file: str, peers: Path, rounds: int) -> list[dict[str, Any]]:
    """The first answer of a fresh process: time and memory."""
    contenders = [
        Contender(who=rows.OURS, command=[sys.executable, "-c", FIRST]),
        Contender(who=FILE, command=[sys.executable, "-c", FIRST_FILE, file, SERIES]),
    ]
    python = str(peers / "bin" / "python")
    if Path(python).is_file():
        contenders.append(Contender(who="pandas", command=[python, "-c", FIRST_PANDAS, file, SERIES]))
        contenders.append(Contender(who="idc-index", command=[python, "-c", FIRST_CLIENT]))
    measured = measure.measure(contenders, rounds)
    times = {who: m.seconds for who, m in measured.items()}
    peaks = {who: m.peak_bytes / 2**20 for who, m in measured.items()}
    found = [
        *rows.compare(AREA, "first answer: time", times, "s", None),
        _at_most("first answer: time", times[rows.OURS], "s", START_S),
        *rows.compare(AREA, "first answer: memory", peaks, "MiB", None),
        _at_most("first answer: memory", peaks[rows.OURS], "MiB", START_MIB),
    ]
    for words in (("search", "--collection", "nsclc_radiomics", "--modality", "CT"), ("collections",)):
        contender = Contender(who=rows.OURS, command=[measure.our_program(), *words])
        work = f"medimagenet {words[0]}: time"
        seconds = measure.measure([contender], rounds)[rows.OURS].seconds
        found += [rows.alone(AREA, work, seconds, "s"), _at_most(work, seconds, "s", COMMAND_S)]
    return found


def _at_most(work: str, value: float, unit: str, most: float) -> dict[str, Any]:
    """The row of a limit that our value must not exceed."""
    return rows.compare(AREA, work, {rows.OURS: value, "at most": most}, unit, 1.0)[1]


def _peer(peers: Path, script: str, *arguments: str) -> dict[str, Any] | None:
    python = peers / "bin" / "python"
    if not python.is_file():
        print(f"no {python}: {script} is left out; `make bench` installs it", file=sys.stderr)
        return None
    command = [str(python), str(PEERS / script), *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
