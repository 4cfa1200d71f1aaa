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


def test_the_hdf5_form_and_what_reads_it(call, chain, tmp_path):
    """Every command that takes a store takes it: named, by a file of it, or by its folder."""
    out = tmp_path / "y.h5"
    assert (
        compile_again(call, chain, out, "--form", "hdf5", "--max-file-bytes", 1000, "--json").document["written"] == 3
    )
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == [f"y-0000{k}.h5" for k in range(3)]
    assert call("verify", tmp_path).code == 0
    inspected = call("inspect", out, "--plot", tmp_path / "y.png", "--json").document
    assert inspected["samples"] == 3
    assert [row["sample_id"] for row in inspected["rows"]] == list(open_store(chain.store).ids())
    assert (tmp_path / "y.png").stat().st_size > 1000
    exported = call("convert", out, "--to", "nifti", "--out", tmp_path / "files", "--jobs", 1)
    assert exported.code == 0, exported.err
    (tmp_path / "y-00001.h5").unlink()
    answer = call("verify", out, "--json")
    assert (answer.code, answer.document["ok"]) == (1, False)
    assert open_store(out).ids()[1] in {problem["sample_id"] for problem in answer.document["problems"]}
    wrong = call("compile", chain.index, "-r", chain.recipe, "-o", tmp_path / "z.zarr", "--form", "hdf5")
    assert (wrong.code, "*.h5" in wrong.err) == (2, True)


def test_fail_on_findings_is_3(call, chain):
    assert compile_again(call, chain, chain.store, "--fail-on", "error").code == 3
