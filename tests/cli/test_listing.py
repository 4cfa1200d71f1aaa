"""Rows as a table, CSV and JSON hold the same, read back by the csv and json modules."""

import csv
import io
import json

from medimagenet.cli.listing import Form, print_rows

ROWS = [{"Modality": "CT", "n": 3}, {"Modality": 'a "quoted", one', "n": 4}]
COLUMNS = ["Modality", "n"]


def test_csv_reads_back(capsys):
    print_rows(Form.CSV, COLUMNS, ROWS, {})
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert read == [{name: str(row[name]) for name in COLUMNS} for row in ROWS]


def test_json_is_the_document(capsys):
    print_rows(Form.JSON, COLUMNS, ROWS, {"n": 2, "rows": ROWS})
    assert json.loads(capsys.readouterr().out) == {"n": 2, "rows": ROWS}


def test_a_table_shows_every_cell(capsys):
    print_rows(Form.TABLE, COLUMNS, ROWS, {})
    lines = capsys.readouterr().out.splitlines()
    assert "Modality" in lines[0] or "Modality" in lines[1]
    assert all(any(str(row["n"]) in line and row["Modality"] in line for line in lines) for row in ROWS)
