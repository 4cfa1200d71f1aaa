"""`medimagenet compile`: what is written, what is skipped and why, what a second run does."""

import hashlib

from medimagenet import open_store


def compile_again(call, chain, out, *options):
    return call("compile", chain.index, "-r", chain.recipe, "-o", out, "--jobs", 1, *options)


def test_report_for_people(chain):
    assert (chain.compiled.code, chain.compiled.err) == (0, "")
    assert "3 samples written, 0 unchanged, 1 skipped" in chain.compiled.out
    assert "missing_slices" in chain.compiled.out
    assert len(open_store(chain.store)) == 3


def test_patients_have_pseudonyms_unless_their_ids_are_kept(call, chain, tmp_path):
    assert all(b"SYN-" not in path.read_bytes() for path in chain.store.rglob("*") if path.is_file())
    document = compile_again(call, chain, tmp_path / "ids.zarr", "--keep-patient-ids", "--json").document
    assert document["written"] == 3
    assert {row["patient_id"] for row in open_store(tmp_path / "ids.zarr").samples.to_pylist()} == {
        "SYN-0002",
        "SYN-0003",
        "SYN-0004",
    }


def test_a_second_run_changes_nothing(call, chain, tmp_path):
    before = tree(chain.store)
    document = compile_again(call, chain, chain.store, "--json").document
    assert (document["written"], document["unchanged"], document["skipped"]) == (0, 3, 1)
    assert tree(chain.store) == before


def tree(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_dry_run_writes_nothing(call, chain, tmp_path):
    answer = compile_again(call, chain, tmp_path / "y.zarr", "--dry-run")
    assert (answer.code, list(tmp_path.iterdir())) == (0, [])
    assert "3 of 4 samples would be compiled" in answer.out
    samples = compile_again(call, chain, tmp_path / "y.zarr", "--dry-run", "--json").document["samples"]
    assert sorted(sample["state"] for sample in samples) == ["compile", "compile", "compile", "skip"]
    splits = {row["split"] for row in open_store(chain.store).samples.to_pylist()}
    assert {sample["split"] for sample in samples if sample["state"] == "compile"} == splits


def test_fail_on_findings_is_3(call, chain):
    assert compile_again(call, chain, chain.store, "--fail-on", "error").code == 3
