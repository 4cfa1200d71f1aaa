"""`medimagenet convert`: what is written, from which inputs, and what wrong usage is."""

import pytest


def convert(call, source, out, *options):
    return call("convert", source, "-o", out, "--jobs", 1, *options)


def test_report_for_people_and_for_programs(call, chain, tmp_path):
    answer = convert(call, chain.index, tmp_path / "out", "-r", chain.recipe)
    assert answer.code == 0
    assert "3 samples written, 0 unchanged, 1 skipped" in answer.out
    assert "missing_slices" in answer.out
    document = convert(call, chain.index, tmp_path / "out", "-r", chain.recipe, "--json").document
    assert (document["written"], document["unchanged"], document["skipped"]) == (0, 3, 1)
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 9


def test_a_folder_and_a_store_are_inputs_too(call, chain, tmp_path):
    assert convert(call, chain.folder / "dicom", tmp_path / "a", "--uncompressed").code == 0
    assert list((tmp_path / "a").rglob("*.nii"))
    assert convert(call, chain.store, tmp_path / "b", "--to", "hdf5").code == 0
    assert len(list((tmp_path / "b").rglob("*.h5"))) == 3


def test_dry_run_writes_nothing(call, chain, tmp_path):
    answer = convert(call, chain.index, tmp_path / "out", "-r", chain.recipe, "--dry-run")
    assert (answer.code, list(tmp_path.iterdir())) == (0, [])
    assert "3 of 4 samples would be converted" in answer.out
    document = convert(call, chain.index, tmp_path / "out", "--dry-run", "--json").document
    assert {row["state"] for row in document["samples"]} == {"convert", "skip"}
    assert document["voxels"] > 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--to", "nnunet"], 1, "needs classes"),
        (["--to", "dicom"], 2, "dicom"),
        (["--level", "9"], 2, "level"),
    ],
)
def test_wrong_usage_is_said(call, chain, tmp_path, options, code, words):
    answer = convert(call, chain.index, tmp_path / "Dataset001_A", *options)
    assert answer.code == code
    assert words in answer.err
    assert answer.out == ""


def test_a_wrong_name_for_nnunet_is_wrong_usage(call, chain, tmp_path):
    answer = convert(call, chain.index, tmp_path / "out", "-r", chain.recipe, "--to", "nnunet")
    assert answer.code == 2
    assert "Dataset042_out" in " ".join(answer.err.replace("│", " ").split())


def test_findings_that_were_asked_for_make_it_3(call, chain, tmp_path):
    answer = convert(call, chain.index, tmp_path / "out", "-r", chain.recipe, "--fail-on", "error")
    assert answer.code == 3
