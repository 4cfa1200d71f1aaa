"""samples.parquet: whole or not at all, the same bytes for the same rows, and damage that is seen."""

import errno
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.errors import StoreDamagedError
from medimagenet.store import table
from medimagenet.store.table import SCHEMA, build_table, merge_tables, read_table, write_table


def row(sample_id, **values):
    series = [{"modality": "CT", "series_uid": f"1.2.{sample_id}", "license": "CC BY 4.0"}]
    return {"sample_id": sample_id, "split": "train", "shape": [1, 2, 3, 4], "series": series, **values}


def test_reads_back_what_was_written(tmp_path):
    write_table(tmp_path, build_table([row("b"), row("a", fold=3, spacing_mm=[1.0, 2.5, 3.0])]))
    first, second = read_table(tmp_path).to_pylist()
    assert (first["sample_id"], first["fold"], first["spacing_mm"]) == ("a", 3, [1.0, 2.5, 3.0])
    assert (second["sample_id"], second["fold"], second["shape"]) == ("b", None, [1, 2, 3, 4])
    assert second["series"][0]["series_uid"] == "1.2.b"
    assert pq.read_schema(tmp_path / "samples.parquet") == SCHEMA


def test_the_order_and_the_batches_of_rows_leave_no_trace(tmp_path):
    rows = [row(f"s{k}", fold=k, findings=[] if k % 2 else None) for k in range(5)]
    contents = set()
    for batches in ([rows], [rows[::-1]], [[one] for one in rows], [rows[3:], rows[:3]]):
        write_table(tmp_path, build_table([]))
        for batch in batches:
            write_table(tmp_path, merge_tables(read_table(tmp_path), build_table(batch)))
        contents.add((tmp_path / "samples.parquet").read_bytes())
    assert len(contents) == 1


def test_a_newer_row_replaces_the_one_of_its_id():
    merged = merge_tables(build_table([row("a"), row("b")]), build_table([row("a", split="val"), row("c")]))
    assert merged.column("sample_id").to_pylist() == ["a", "b", "c"]
    assert merged.column("split").to_pylist() == ["val", "train", "train"]
    assert build_table([row("a"), row("a", split="test")]).column("split").to_pylist() == ["test"]


def test_a_wrong_column_or_value_is_named():
    with pytest.raises(ValueError, match="'Fold'"):
        build_table([row("a", Fold=1)])
    with pytest.raises(ValueError, match="another type"):
        build_table([row("a", fold="three")])


def test_a_cut_file_is_damage(tmp_path):
    write_table(tmp_path, build_table([row("a")]))
    path = tmp_path / "samples.parquet"
    whole = path.read_bytes()
    for size in (0, 3, 10, len(whole) // 2, len(whole) - 5, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreDamagedError, match=r"samples\.parquet cannot be read"):
            read_table(tmp_path)
    path.unlink()
    with pytest.raises(StoreDamagedError, match=r"samples\.parquet cannot be read"):
        read_table(tmp_path)


def test_a_flipped_bit_of_a_page_is_damage(tmp_path):
    """Pages carry a CRC32. What lies between them (headers, the footer) is Thrift, whose damage shows otherwise."""
    write_table(tmp_path, build_table([row("a"), row("b")]))
    path = tmp_path / "samples.parquet"
    whole, before = bytearray(path.read_bytes()), read_table(tmp_path)
    unseen = 0
    for at in np.random.default_rng(0).integers(4, len(whole), 60):
        flipped = bytearray(whole)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        try:
            unseen += not read_table(tmp_path).equals(before)
        except StoreDamagedError:
            continue
    assert unseen == 0


def test_other_columns_are_refused(tmp_path):
    write_table(tmp_path, build_table([row("a")]).drop_columns(["fold"]))
    with pytest.raises(StoreDamagedError, match="other columns than format 1"):
        read_table(tmp_path)


@pytest.mark.parametrize("step", ["write_table", "replace", "fsync"])
def test_the_old_table_survives_a_full_disk(tmp_path, monkeypatch, step):
    write_table(tmp_path, build_table([row("a")]))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {"write_table": table.pq, "replace": table.Path, "fsync": table.os}[step]
    monkeypatch.setattr(place, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_table(tmp_path, build_table([row("b")]))
    monkeypatch.undo()
    assert read_table(tmp_path).column("sample_id").to_pylist() == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["samples.parquet"]


def test_every_column_has_a_home():
    """What the compiler gives, and what the writer adds, are disjoint and make up the schema."""
    added = {"sample_id", "recipe_hash", "shape", "spacing_mm", "class_voxels", "arrays"}
    added |= {"foreground_hash", "stored_hash", "stored_bytes"}
    assert added | set(table.GIVEN) == set(SCHEMA.names) | set(table.LATER)
    assert not added & set(table.GIVEN)
    assert len(list(itertools.chain(added, table.GIVEN))) == len(SCHEMA.names) + len(table.LATER)


def test_a_later_column_is_there_where_it_is_used_and_its_bytes_do_not_depend_on_batches(tmp_path):
    targets = [{"name": "age", "value": 61.5, "is_whole": False}]
    rows = [row(f"s{k}", targets=targets if k != 1 else None) for k in range(4)]
    contents = set()
    for batches in ([rows], [[rows[1]], [rows[0], rows[2], rows[3]]], [[one] for one in rows[::-1]]):
        write_table(tmp_path, build_table([]))
        assert pq.read_schema(tmp_path / "samples.parquet") == SCHEMA
        for batch in batches:
            write_table(tmp_path, merge_tables(read_table(tmp_path), build_table(batch)))
        contents.add((tmp_path / "samples.parquet").read_bytes())
    assert len(contents) == 1
    read = read_table(tmp_path)
    assert read.schema.names == [*SCHEMA.names, "targets"]
    assert read.column("targets").to_pylist() == [targets, None, targets, targets]


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"sample_id": st.text(), "spacing_mm": st.lists(st.floats()), "fold": st.none() | st.integers(-9, 9)},
            optional={"class_voxels": st.lists(st.fixed_dictionaries({"name": st.text(), "voxels": st.integers(0)}))},
        ),
        unique_by=lambda row: row["sample_id"],
    )
)
def test_what_arrow_makes_of_the_rows(rows):
    def made(build):
        try:
            return build(rows)
        except (ValueError, OverflowError):
            return None

    expected = made(lambda rows: pa.Table.from_pylist(sorted(rows, key=lambda row: row["sample_id"]), schema=SCHEMA))
    found = made(build_table)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.schema == expected.schema
        assert repr(found.to_pylist()) == repr(expected.to_pylist())  # nan is nan
