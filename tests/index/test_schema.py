"""The columns are the fields of a record."""

import json
from dataclasses import fields

import pyarrow as pa

from medimagenet.findings import Finding
from medimagenet.index.schema import INDEX_VERSION, METADATA_KEY, SCHEMA, file_metadata, to_row
from medimagenet.sources import SeriesRecord


def test_columns_are_fields_in_their_order():
    assert SCHEMA.names == [field.name for field in fields(SeriesRecord)]


def test_a_full_record_fits(make_record):
    finding = Finding(code="gantry_tilt", message="tilted", numbers={"angle_degrees": 18.5})
    record = make_record(
        *("k", "CT", "1.2"),
        SliceThickness=2.5,
        shape=(3, 4, 5),
        spacing_mm=(1.0, 2.0, 3.0),
        roi_names=("a", ""),
        findings=(finding,),
    )
    (row,) = pa.Table.from_pylist([to_row(record)], schema=SCHEMA).to_pylist()
    assert (row["shape"], row["spacing_mm"], row["roi_names"]) == ([3, 4, 5], [1.0, 2.0, 3.0], ["a", ""])
    assert [Finding.from_row(found) for found in row["findings"]] == [finding]
    assert (row["license"], row["referenced_series"]) == (None, [])


def test_metadata_depends_on_versions_only():
    values = json.loads(file_metadata()[METADATA_KEY])
    assert values.pop("created_by").startswith("medimagenet ")
    assert values == {"index_version": INDEX_VERSION}
