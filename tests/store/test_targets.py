"""Targets against the tables that they are from, as pandas reads them; and what is wrong with a table."""

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

from medimagenet.errors import StoreError
from medimagenet.store import Targets, open_store
from medimagenet.store.targets import as_targets, read_targets, stored_targets, targets_of

IDS = ("s00", "s01", "s02")
CSV = "PatientID,age,stage,dead,weight\np00,61,II,1,70.5\np01,47,I,0,\np02,80,III,1,80\np77,1,I,1,1\n"
STAGES = {"stage": ["I", "II", "III"]}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "clinical.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def samples(small_store):
    return open_store(small_store).samples


def test_the_same_numbers_from_every_kind_of_table(table, samples, tmp_path):
    frame = pandas.read_csv(table)
    frame.to_parquet(tmp_path / "clinical.parquet")
    sources = [table, str(table), tmp_path / "clinical.parquet", frame, polars.from_pandas(frame), pa.table(frame)]
    for source in sources:
        found = targets_of(samples, IDS, Targets(columns=["age", "dead"], table=source))
        assert {name: value.tolist() for name, value in found.items()} == {
            name: frame.loc[k, ["age", "dead"]].tolist() for k, name in enumerate(IDS)
        }
        assert all(value.dtype == np.int64 and value.shape == (2,) for value in found.values())


def test_one_name_is_one_number_and_text_has_classes(table, samples):
    found = targets_of(samples, IDS, Targets(columns="stage", table=table, classes=STAGES))
    assert [found[name].item() for name in IDS] == [1, 0, 2]
    assert all(value.shape == () and value.dtype == np.int64 for value in found.values())
    mixed = targets_of(samples, ("s00",), Targets(columns=("stage", "weight"), table=table, classes=STAGES))
    assert (mixed["s00"].dtype, mixed["s00"].tolist()) == (np.float32, [1.0, 70.5])
    double = targets_of(samples, ("s00",), Targets(columns=("age",), table=table, dtype="float64"))
    assert double["s00"].dtype == np.float64


def test_keys_are_text_and_need_not_be_named_as_ours(tmp_path, samples):
    path = tmp_path / "keys.csv"
    path.write_text("case,y\n s00 ,1\ns01,2\ns02,3\n007,4\n")
    found = targets_of(samples, IDS, Targets(columns="y", table=path, key="case", by="sample"))
    assert [found[name].item() for name in IDS] == [1, 2, 3]
    path.write_text("case,y\n007,4\n08,5\n")
    assert set(read_targets(Targets(columns="y", table=path, key="case")).rows) == {"007", "08"}


def test_missing_values_fail_or_become_nan(table, samples):
    with pytest.raises(StoreError, match=r"1 targets have no value, first weight of s01 \(rows matched by patient\)"):
        targets_of(samples, IDS, Targets(columns="weight", table=table))
    with pytest.raises(StoreError, match="1 targets have no value, first age of s03"):
        targets_of(samples, (*IDS, "s03"), Targets(columns="age", table=table))
    found = targets_of(samples, (*IDS, "s03"), Targets(columns=["weight", "age"], table=table, missing="nan"))
    np.testing.assert_array_equal(found["s01"], np.array([np.nan, 47], dtype=np.float32))
    np.testing.assert_array_equal(found["s03"], np.array([np.nan, np.nan], dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "a,b\n1,2\n",
            "b",
            "has no column that names samples or patients .sample_id, patient_id, PatientID.; it has",
        ),
        ("patient_id,b\n1,2\n", "c", "no column 'c'; it has patient_id, b"),
        ("patient_id,b\nX7,2\nX7,3\n", "b", "rows 1 and 2 have the same patient_id"),
        ("patient_id,b\nX7,2\n,3\n", "b", "row 2 has no patient_id"),
        ("patient_id,b\nX7,high\n", "b", r"target 'b' is of type string.*classes=\{'b': "),
        ("patient_id,b\nX7,inf\n", "b", "target 'b' of row 1 is inf"),
        ("patient_id,stage\nX7,IV\n", "stage", r"row 1 is 'IV', which is none of \['I', 'II', 'III'\]"),
        ("", "b", "cannot be read"),
    ],
)
def test_a_wrong_table_is_told_without_a_patient(tmp_path, text, columns, message):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(StoreError, match=message) as caught:
        read_targets(Targets(columns=columns, table=path, classes=STAGES if columns == "stage" else {}))
    assert "X7" not in str(caught.value)


def test_no_file_and_no_table(tmp_path):
    with pytest.raises(StoreError, match=r"none\.csv cannot be read"):
        read_targets(Targets(columns="y", table=tmp_path / "none.csv"))
    with pytest.raises(StoreError, match="a data frame, got int"):
        read_targets(Targets(columns="y", table=7))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"columns": ()}, "at least one target"),
        ({"columns": "y", "by": "case"}, "sample or patient, got 'case'"),
        ({"columns": "y", "dtype": "int8"}, "got 'int8'"),
        ({"columns": "y", "missing": "skip"}, "fail or nan, got 'skip'"),
        ({"columns": "y", "missing": "nan", "dtype": "int64"}, "floating dtype"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        Targets(**wrong)


def test_a_fraction_is_no_whole_number(table, samples):
    with pytest.raises(StoreError, match=r"target weight of sample s00 is 70\.5, which dtype int64 cannot hold"):
        targets_of(samples, ("s00",), Targets(columns="weight", table=table, dtype="int64"))


def test_names_alone_mean_stored_targets(samples):
    assert as_targets(None) is None
    assert as_targets("age") == Targets(columns="age")
    entries = [
        [{"name": "age", "value": 61.0, "is_whole": True}],
        None,
        [{"name": "age", "value": None, "is_whole": True}],
    ]
    stored = samples.slice(0, 3).append_column("targets", pa.array(entries))
    found = stored_targets(stored, Targets(columns="age"))
    assert found.is_whole == (True,)
    assert found.rows["s00"] == (61.0,)
    assert np.isnan(found.rows["s01"] + found.rows["s02"]).all()
    with pytest.raises(StoreError, match="no target 'sex', only age"):
        stored_targets(stored, Targets(columns="sex"))
