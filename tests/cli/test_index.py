"""`medimagenet index` against what was written into the folder."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from medimagenet import Index, open_index
from medimagenet.cli import index as index_command
from medimagenet.sources.base import SeriesRecord
from medimagenet.synthetic import write_patients


def test_table_for_people(chain):
    assert (chain.indexed.code, chain.indexed.err) == (0, "")
    assert "8 series of 4 patients" in chain.indexed.out
    assert f"next: medimagenet samples {chain.index}" in chain.indexed.out


def test_json_counts_what_the_index_holds(call, chain, tmp_path):
    answer = call("index", chain.folder / "dicom", "-o", tmp_path / "y.parquet", "--jobs", 1, "--json")
    rows = open_index(tmp_path / "y.parquet").rows()
    document = answer.document
    assert (document["series"], document["patients"], document["unreadable"]) == (len(rows), 4, 0)
    files = Counter(path.relative_to(chain.folder).parts[2] for path in chain.folder.glob("dicom/*/*/*"))
    assert sum(counts["files"] for counts in document["modalities"].values()) == sum(files.values())
    assert {"code": "missing_slices", "severity": "error", "count": 1} in document["findings"]


def test_the_next_step_of_series_that_are_elsewhere_is_to_fetch_them(tmp_path):
    record = SeriesRecord(
        **{"key": "a", "source": "tcia", "collection_id": "c", "PatientID": "p", "StudyInstanceUID": "1.2"},
        **{"SeriesInstanceUID": "1.3", "Modality": "CT", "uri": "https://nbia.example.org/x", "files": ()},
        **{"n_instances": 1, "size_bytes": 1, "content_hash": "h"},
    )
    annotation = replace(record, key="b", Modality="RTSTRUCT")
    here = [replace(one, uri=str(tmp_path)) for one in (record, annotation)]
    for records, step in (
        ([record, annotation], "medimagenet search x.parquet; medimagenet download x.parquet --to DIR"),
        (here, "medimagenet samples x.parquet --modalities CT,RTSTRUCT"),
        (here[:1], "medimagenet search x.parquet"),
    ):
        index = Index.from_records(records)
        assert index_command._next_step(Path("x.parquet"), index, [one.Modality for one in records]) == step


def test_licence_doi_and_collection_are_in_every_row(call, chain, tmp_path):
    rows = open_index(chain.index).rows()
    assert {(row["license"], row["doi"], row["collection_id"]) for row in rows} == {("CC0-1.0", "10.1/x", None)}
    call("index", chain.folder / "dicom", "-o", tmp_path / "y.parquet", "--collection", "mine", "--jobs", 1)
    assert {row["collection_id"] for row in open_index(tmp_path / "y.parquet").rows()} == {"mine"}


def test_fail_on_findings_is_3_and_the_index_is_written(call, chain, tmp_path):
    answer = call("index", chain.folder / "dicom", "-o", tmp_path / "y.parquet", "--jobs", 1, "--fail-on", "error")
    assert answer.code == 3
    assert answer.err == "1 finding of severity error (--fail-on error): exit code 3\n"
    assert len(open_index(tmp_path / "y.parquet")) == 8


def test_a_second_run_reads_what_has_changed(call, tmp_path):
    folder, out = tmp_path / "dicom", tmp_path / "x.parquet"
    truth = write_patients(folder, 1, size=(24, 24, 8), spacing=(14, 14, 28), jobs=1)[0]
    for path in folder.rglob("*"):
        os.utime(path, ns=(0, 0))
    first = call("index", folder, "-o", out, "--json").document
    n_files = first["files_read"]
    assert (first["files_unchanged"], first["files_gone"]) == (0, 0)
    written = out.read_bytes()
    truth.paths["CT"][3].touch()
    again = call("index", folder, "-o", out)
    assert f"1 file read, {n_files - 1} unchanged\n" in again.out
    assert out.read_bytes() == written
    truth.paths["CT"][7].unlink()
    document = call("index", folder, "-o", out, "--json").document
    assert (document["files_read"], document["files_unchanged"], document["files_gone"]) == (1, n_files - 2, 1)
    call("index", folder, "-o", tmp_path / "full.parquet")
    assert (tmp_path / "full.parquet").read_bytes() == out.read_bytes() != written
    assert call("index", folder, "-o", out, "--reread", "--json").document["files_read"] == n_files - 1


def test_a_source_that_is_not_known(call, tmp_path):
    answer = call("index", "tciaa:NSCLC", "-o", tmp_path / "x.parquet")
    assert answer.code == 1
    assert "no folder at tciaa:NSCLC, and no source 'tciaa': there are " in answer.err
    assert not (tmp_path / "x.parquet").exists()
