"""compile_store against the phantoms' truth, and against itself when it was killed, resumed, or run in processes."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest

from medimagenet.compiler import compile_store
from medimagenet.errors import RecipeError, SourceError, StoreError, StoreExistsError
from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.store import open_store, verify
from medimagenet.synthetic import write_patients

from .conftest import RECIPE, SIZE, SPACING


@pytest.fixture(scope="module", params=[".zarr", ".h5"])
def compiled(request, index, recipe, tmp_path_factory):
    """A store in each form."""
    out = tmp_path_factory.mktemp("compiled") / f"a{request.param}"
    return compile_store(index, recipe, out, jobs=1)


def unfinished(path):
    """Where the samples of a store are before it is finished."""
    return path.with_name(f"{path.name}.partial") if path.suffix == ".h5" else path


def copied(patients, folder, count=3):
    """The first patients in a folder of their own, to be changed."""
    for truth in patients[:count]:
        shutil.copytree(truth.folder, folder / truth.folder.name)
    return index_directory(folder, jobs=1)


def rows_by_series(store):
    """Row of each sample by the UID of its CT, which the truth knows too."""
    rows = [store.row(sample_id) for sample_id in store.ids()]
    return {next(s["series_uid"] for s in row["series"] if s["modality"] == "CT"): row for row in rows}


def test_stores_true_voxels_and_true_masks(compiled, patients):
    store = open_store(compiled.path)
    rows = rows_by_series(store)
    assert len(compiled.written) == len(store) == len(patients)
    for truth in patients:
        sample_id = rows[truth.series_uids["CT"][0]]["sample_id"]
        image, label = store.array(sample_id).read()[0], store.array(sample_id, "label").read()
        assert image.dtype == np.int16
        assert store.array(sample_id).grid.is_close(truth.grids["CT"])
        np.testing.assert_array_equal(image, truth.image("CT"))
        np.testing.assert_array_equal(label[0] > 0, truth.masks("CT", ["liver"])["liver"])
        np.testing.assert_array_equal(label[1] > 0, truth.masks("CT", ["GTV"])["GTV"])


def test_rows_say_where_a_sample_comes_from(compiled, patients, recipe):
    row = rows_by_series(open_store(compiled.path))[patients[0].series_uids["CT"][0]]
    assert [series["modality"] for series in row["series"]] == ["CT", "RTSTRUCT"]
    assert row["license"] == "CC0-1.0"
    assert row["collection_id"] == "synthetic"
    assert row["recipe_hash"] == recipe.hash
    assert "SelectRois" in row["provenance"]
    assert "CC0-1.0" in open_store(compiled.path).form.attribution()


def test_splits_are_by_patient_and_of_the_size_asked(compiled):
    store = open_store(compiled.path)
    assert len(store.ids("train")) == len(store.ids("val")) == 3


def test_patients_have_pseudonyms_and_the_way_back_lies_outside(compiled, patients):
    table = compiled.path.with_name(f"{compiled.path.name}.patients.csv")
    assert table.stat().st_mode & 0o077 == 0
    back = {row["pseudonym"]: row["PatientID"] for row in csv.DictReader(table.open())}
    store = open_store(compiled.path)
    assert sorted(back.values()) == sorted(truth.patient_id for truth in patients)
    assert {store.row(sample_id)["patient_id"] for sample_id in store.ids()} == set(back)
    for path in (path for path in (compiled.path, *compiled.path.rglob("*")) if path.is_file()):
        assert not any(truth.patient_id.encode() in path.read_bytes() for truth in patients), path


def test_original_ids_only_when_asked(index, recipe, patients, tmp_path):
    report = compile_store(index, recipe, tmp_path / "a.zarr", jobs=1, keep_patient_ids=True)
    store = open_store(report.path)
    assert {store.row(name)["patient_id"] for name in store.ids()} == {truth.patient_id for truth in patients}
    assert not report.path.with_name("a.zarr.patients.csv").exists()


def test_processes_write_the_same_bytes(index, recipe, compiled, tree_hash, tmp_path):
    out = tmp_path / f"b{compiled.path.suffix}"
    report = compile_store(index, recipe, out, jobs=2)
    assert report.written == compiled.written
    assert tree_hash(out) == tree_hash(compiled.path)


def test_an_executor_of_the_user_writes_the_same_bytes(index, recipe, compiled, tree_hash, tmp_path):
    out = tmp_path / f"b{compiled.path.suffix}"
    with ThreadPoolExecutor(2) as executor:
        compile_store(index, recipe, out, executor=executor)
    assert tree_hash(out) == tree_hash(compiled.path)


class StopRunError(Exception):
    """Raised from a progress callback, as Ctrl-C would be."""


def test_a_stopped_compile_continues_and_ends_with_the_same_bytes(index, recipe, compiled, tree_hash, tmp_path):
    out = tmp_path / f"b{compiled.path.suffix}"

    def stop(done, total):
        if done == 2:
            raise StopRunError

    with pytest.raises(StopRunError):
        compile_store(index, recipe, out, jobs=1, progress=stop)
    assert len(open_store(unfinished(out))) == 2
    report = compile_store(index, recipe, out, jobs=1)
    assert (len(report.unchanged), len(report.written)) == (2, 4)
    assert tree_hash(out) == tree_hash(compiled.path)


COMPILE = """
import sys, time
from medimagenet.compiler import compile_store, run
run.COMMIT_SECONDS = 0.0
compile_store(sys.argv[1], sys.argv[2], sys.argv[3], jobs=1, progress=lambda done, total: print(done, flush=True))
"""


@pytest.mark.parametrize("after", [1, 4])
def test_a_killed_compile_continues_and_ends_with_the_same_bytes(index, compiled, tree_hash, tmp_path, after):
    out = tmp_path / f"b{compiled.path.suffix}"
    index.write(tmp_path / "x.parquet")
    (tmp_path / "r.yaml").write_text(RECIPE)
    command = [sys.executable, "-c", COMPILE, "x.parquet", "r.yaml", out.name]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == after:
                time.sleep(0.003)  # somewhere inside the next sample
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(open_store(unfinished(out))) >= after - 1
    compile_store(index, tmp_path / "r.yaml", out, jobs=1)
    assert tree_hash(out) == tree_hash(compiled.path)
    assert verify(out) == []


def test_both_forms_have_the_same_samples(index, recipe, tmp_path):
    """Under one recipe's hash, whatever says which form it is; only how they are stored differs."""
    says = Recipe.from_dict({**recipe.to_dict(), "store": {"form": "hdf5", "max_file_bytes": 100_000}})
    assert says.hash == recipe.hash
    zarr = open_store(compile_store(index, recipe, tmp_path / "a.zarr", jobs=1).path)
    hdf5 = open_store(compile_store(index, says, tmp_path / "a.h5", jobs=1).path)
    assert len(list(tmp_path.glob("a-*.h5"))) > 1
    assert zarr.ids() == hdf5.ids()
    for sample_id in zarr.ids():
        rows = [store.row(sample_id) for store in (zarr, hdf5)]
        for row in rows:
            for one in (row, *row["arrays"]):
                del one["stored_hash"], one["stored_bytes"]
        assert rows[0] == rows[1]
        assert dict(zarr.array(sample_id).attributes) == dict(hdf5.array(sample_id).attributes)
    assert zarr.form.attribution() == hdf5.form.attribution()
    assert verify(hdf5.path) == []
    with pytest.raises(ValueError, match=r"called \*\.h5 or \*\.hdf5"):
        compile_store(index, says, tmp_path / "b.zarr", jobs=1)


def test_a_second_compile_writes_no_sample(index, recipe, tmp_path):
    compile_store(index, recipe, tmp_path / "a.zarr", jobs=1)
    samples = sorted((tmp_path / "a.zarr" / "samples").rglob("*"))
    before = [(path, path.stat().st_mtime_ns) for path in samples]
    report = compile_store(index, recipe, tmp_path / "a.zarr", jobs=1)
    assert (len(report.unchanged), report.written) == (6, ())
    assert [(path, path.stat().st_mtime_ns) for path in sorted((tmp_path / "a.zarr" / "samples").rglob("*"))] == before


@pytest.mark.parametrize("name", ["a.zarr", "a.h5"])
def test_what_changed_is_made_again_and_what_left_is_removed(patients, recipe, tmp_path, name):
    compile_store(copied(patients, tmp_path / "dicom"), recipe, tmp_path / name, jobs=1)
    shutil.rmtree(tmp_path / "dicom" / patients[0].folder.name)
    changed = next((tmp_path / "dicom" / patients[1].folder.name).rglob("*.dcm"))
    dataset = pydicom.dcmread(changed)
    dataset.SeriesDescription = "corrected"
    dataset.save_as(changed)
    report = compile_store(index_directory(tmp_path / "dicom", jobs=1), recipe, tmp_path / name, jobs=1)
    states = sorted(outcome.state for outcome in report.outcomes)
    assert states == ["removed", "unchanged", "written"]
    assert len(open_store(tmp_path / name)) == 2
    assert verify(tmp_path / name) == []


def test_no_patient_changes_sides_when_others_join(patients, recipe, index, tmp_path):
    compile_store(copied(patients, tmp_path / "dicom", 3), recipe, tmp_path / "a.zarr", jobs=1)
    store = open_store(tmp_path / "a.zarr")
    before = {store.row(name)["patient_id"]: store.row(name)["split"] for name in store.ids()}
    compile_store(copied(patients[3:], tmp_path / "dicom", 3), recipe, tmp_path / "a.zarr", jobs=1)
    store = open_store(tmp_path / "a.zarr")
    after = {store.row(name)["patient_id"]: store.row(name)["split"] for name in store.ids()}
    assert len(after) == 6
    assert before.items() <= after.items()


@pytest.mark.parametrize("defect", ["missing_slices", "gantry_tilt", "localizer_mixed_in"])
def test_a_series_that_forms_no_volume_is_skipped_and_reported(defect, recipe, tmp_path):
    write_patients(tmp_path / "sound", 2, size=SIZE, spacing=SPACING, seed=3, jobs=1)
    write_patients(tmp_path / "odd", 1, size=SIZE, spacing=SPACING, seed=4, jobs=1, defects=[defect])
    report = compile_store(index_directory(tmp_path, jobs=1), recipe, tmp_path / "a.zarr", jobs=1)
    assert len(report.written) == 2
    (skipped,) = report.skipped
    assert defect in {finding.code for finding in skipped.findings}
    written = list(csv.DictReader((tmp_path / "a.zarr.report.csv").open()))
    assert {(row["sample_id"], row["code"]) for row in written} >= {(skipped.sample_id, defect)}


def test_a_recipe_can_let_a_finding_stop_the_run(recipe, tmp_path):
    write_patients(tmp_path / "odd", 1, size=SIZE, spacing=SPACING, jobs=1, defects=["missing_slices"])
    strict = Recipe.from_yaml(RECIPE + "findings: {missing_slices: fail}\n")
    with pytest.raises(RecipeError, match="says fail for missing_slices"):
        compile_store(index_directory(tmp_path, jobs=1), strict, tmp_path / "a.zarr", jobs=1)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("name", ["a.zarr", "a.h5"])
def test_nothing_is_left_when_no_sample_could_be_compiled(recipe, tmp_path, name):
    write_patients(tmp_path / "odd", 1, size=SIZE, spacing=SPACING, jobs=1, defects=["missing_slices"])
    with pytest.raises(StoreError, match=r"none of 1 samples could be compiled .*1 x missing_slices"):
        compile_store(index_directory(tmp_path, jobs=1), recipe, tmp_path / name, jobs=1)
    assert not (tmp_path / name).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.report.csv", "odd"]


def test_a_class_that_matches_nothing_is_told_before_anything_is_written(index, tmp_path):
    wrong = Recipe.from_yaml(RECIPE.replace("[liver]", '["spleeen"]'))
    with pytest.raises(RecipeError, match=r"matches \{'liver': \['spleeen'\]\}.*most frequent names are .*liver \(6\)"):
        compile_store(index, wrong, tmp_path / "a.zarr", jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_an_rtstruct_whose_ct_is_absent_forms_no_sample(patients, recipe, tmp_path):
    for path in patients[0].paths["RTSTRUCT"]:
        shutil.copy(path, tmp_path / path.name)
    with pytest.raises(SourceError, match="no sample has all of CT,RTSTRUCT"):
        compile_store(index_directory(tmp_path, jobs=1), recipe, tmp_path / "a.zarr", jobs=1)
    assert not (tmp_path / "a.zarr").exists()


def test_an_output_path_that_is_taken_is_left_alone(index, recipe, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine too")
    for name in ("folder", "file"):
        with pytest.raises(StoreExistsError, match=f"{name} exists"):
            compile_store(index, recipe, tmp_path / name, jobs=1)
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine too"


def test_a_store_of_another_recipe_is_left_alone(index, compiled, tree_hash):
    other = Recipe.from_yaml(RECIPE.replace("-160", "-150"))
    before = tree_hash(compiled.path)
    with pytest.raises(StoreExistsError, match="made by another recipe"):
        compile_store(index, other, compiled.path, jobs=1)
    assert tree_hash(compiled.path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_leaves_only_whole_samples(index, recipe, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", disk], check=True)
    try:
        with pytest.raises(StoreError, match=r"the disk is full .* run the same command again"):
            compile_store(index, recipe, disk / "a.zarr", jobs=1)
        if (disk / "a.zarr").exists():
            problems = verify(disk / "a.zarr")
            assert [problem for problem in problems if problem.sample_id is not None] == []  # only unfinished
            assert [path for path in (disk / "a.zarr" / ".partial").rglob("*") if path.is_dir()] == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_progress_counts_every_sample(index, recipe, tmp_path):
    seen = []
    compile_store(index, recipe, tmp_path / "a.zarr", jobs=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_the_label_of_a_store_goes_back_to_the_scan_it_was_drawn_on(index, patients, tmp_path):
    """Cropped and turned only: voxel for voxel; resampled: almost all of it."""
    for spacing, least, form in ((None, 1.0, "h5"), ([6, 6, 6], 0.85, "zarr")):
        values = {**Recipe.from_yaml(RECIPE).to_dict(), "crop": {"kind": "mask", "margin_mm": 20}, "spacing": spacing}
        report = compile_store(index, Recipe.from_dict(values), tmp_path / f"{least}.{form}", jobs=1)
        store = open_store(report.path)
        for truth in patients[:2]:
            name = rows_by_series(store)[truth.series_uids["CT"][0]]["sample_id"]
            back = store.to_patient(name, store.array(name, "label").read())
            assert back.grid.is_close(truth.grids["CT"])
            wanted = truth.masks("CT", ["liver"])["liver"]
            overlap = 2 * np.count_nonzero(back["liver"] & wanted) / (back["liver"].sum() + wanted.sum())
            assert overlap >= least
