"""`medimagenet index` against what was written into the folder."""

from collections import Counter

from medimagenet import open_index


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
