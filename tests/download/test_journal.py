"""The journal: what is complete stays so, whatever happens between two lines of it."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medimagenet.download.checksum import file_checksum
from medimagenet.download.journal import (
    MANIFEST,
    SCHEMA,
    Downloaded,
    Journal,
    is_complete,
    read_manifest,
    read_records,
    write_manifest,
)
from medimagenet.download.layout import WORK_FOLDER
from medimagenet.errors import SourceError


def record(folder: Path, key="k", names=("a.dcm", "b.dcm"), **values) -> Downloaded:
    """A record of files that are in `folder`."""
    fields = dict.fromkeys(SCHEMA.names) | {
        "key": key,
        "source": "idc",
        "SeriesInstanceUID": "1.2",
        "uri": "s3://b/u/",
        "folder": "p/s",
        "files": tuple(names),
        "sizes": tuple((folder / name).stat().st_size for name in names),
        "checksums": tuple(file_checksum(folder / name, "md5") for name in names),
        "n_instances": len(names),
        "size_bytes": 6,
        "fetched_at": "2026-01-01T00:00:00+00:00",
        "fetched_by": "medimagenet 0",
    }
    return Downloaded(**fields | values)


@pytest.fixture
def staged(tmp_path):
    """A folder of downloads with two files that wait to be moved: (root, record, moves)."""
    staging = tmp_path / WORK_FOLDER / "series" / "x"
    staging.mkdir(parents=True)
    for name in ("a.dcm", "b.dcm"):
        (staging / name).write_text(f"in {name}")
    moves = [(staging / name, tmp_path / "p" / "s" / name) for name in ("a.dcm", "b.dcm")]
    return tmp_path, record(staging), moves


def entries(root):
    return list((root / WORK_FOLDER / "journal").glob("*.json"))


def test_files_are_moved_and_noted_and_come_into_the_manifest(staged):
    root, one, moves = staged
    with Journal(root) as journal:
        journal.commit(one, moves)
        assert read_records(root) == {"k": one}
        journal.consolidate()
    assert is_complete(root, one)
    assert (root / "p" / "s" / "a.dcm").read_text() == "in a.dcm"
    assert entries(root) == []
    assert read_manifest(root / MANIFEST) == [one]
    assert pq.read_table(root / MANIFEST).column_names == SCHEMA.names


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_moves_that_were_interrupted_are_finished(staged, moved, monkeypatch):
    root, one, moves = staged

    def stop_in_the_middle(pending):
        for start, target in pending[:moved]:
            target.parent.mkdir(parents=True, exist_ok=True)
            start.replace(target)
        raise KeyboardInterrupt

    monkeypatch.setattr("medimagenet.download.journal._move", stop_in_the_middle)
    with Journal(root) as journal, pytest.raises(KeyboardInterrupt):
        journal.commit(one, moves)
    monkeypatch.undo()
    assert is_complete(root, one) is (moved == 2)
    with Journal(root) as journal:
        assert journal.records == {"k": one}
        assert is_complete(root, one)


def test_what_is_gone_or_has_another_size_is_not_complete(staged):
    root, one, moves = staged
    with Journal(root) as journal:
        journal.commit(one, moves)
    (root / "p" / "s" / "b.dcm").write_text("shorter")
    assert not is_complete(root, one)
    (root / "p" / "s" / "b.dcm").unlink()
    assert not is_complete(root, one)


def test_a_file_of_the_user_is_never_overwritten(staged):
    root, one, moves = staged
    (root / "p" / "s").mkdir(parents=True)
    (root / "p" / "s" / "b.dcm").write_text("mine")
    with Journal(root) as journal, pytest.raises(SourceError, match=r"b.dcm is there and is not .* not overwritten"):
        journal.commit(one, moves)
    assert (root / "p" / "s" / "b.dcm").read_text() == "mine"
    assert not (root / "p" / "s" / "a.dcm").exists()
    assert entries(root) == []


def test_the_same_file_in_its_place_is_no_conflict(staged):
    root, one, moves = staged
    (root / "p" / "s").mkdir(parents=True)
    (root / "p" / "s" / "b.dcm").write_text("in b.dcm")
    with Journal(root) as journal:
        journal.commit(one, moves)
    assert is_complete(root, one)


def _try_to_open(root, answers):
    try:
        Journal(root)
    except SourceError as error:
        answers.put(str(error))


def test_two_downloads_into_one_folder_do_not_meet(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with Journal(tmp_path):
        other = context.Process(target=_try_to_open, args=(tmp_path, answers))
        other.start()
        assert "another download into" in answers.get(timeout=30)
        other.join()
    with Journal(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"PAR1 cut", b"text"])
def test_a_damaged_manifest_is_an_error_and_stays(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(SourceError, match="damaged, or is no list of downloads"):
        Journal(tmp_path)
    assert (tmp_path / MANIFEST).read_bytes() == content
    (tmp_path / MANIFEST).unlink()
    with Journal(tmp_path):  # the lock is free
        pass


def test_a_foreign_table_and_a_newer_version_are_errors(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / MANIFEST)
    with pytest.raises(SourceError, match="no list of downloads"):
        read_records(tmp_path)
    schema = SCHEMA.with_metadata({b"medimagenet": json.dumps({"downloads_version": 99}).encode()})
    pq.write_table(schema.empty_table(), tmp_path / MANIFEST)
    with pytest.raises(SourceError, match="version 99"):
        read_records(tmp_path)


def test_an_entry_of_another_version_is_passed_over(staged):
    root, *_ = staged
    (root / WORK_FOLDER / "journal").mkdir()
    (root / WORK_FOLDER / "journal" / "x.json").write_text('{"record": {"other": 1}, "moves": []}')
    with Journal(root) as journal:
        assert journal.records == {}


def test_the_manifest_is_the_same_for_any_order(staged, tmp_path):
    _, one, _ = staged
    other = replace(one, key="other", folder="a/b")
    write_manifest(tmp_path / "1", [one, other])
    write_manifest(tmp_path / "2", [other, one])
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
