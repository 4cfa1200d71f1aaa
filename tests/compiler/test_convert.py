"""convert against the phantoms' truth, nibabel and nnU-Net's rules, and against itself when it was stopped."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK

from medimagenet.compiler.convert import convert_dataset
from medimagenet.compiler.run import compile_store
from medimagenet.errors import ExportError, RecipeError
from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.synthetic import write_patients

from .conftest import RECIPE, SIZE, SPACING

PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
WITH_TEST = RECIPE.replace("{train: 0.5, val: 0.5, seed: 0}", "{train: 0.5, val: 0.2, test: 0.3, seed: 0}")


@pytest.fixture(scope="module")
def converted(index, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "nifti"
    return convert_dataset(index, out, recipe=recipe, jobs=1)


def documents(out):
    return [json.loads(path.read_bytes()) for path in sorted(out.glob("*/*/sample.json"))]


def voxels(path):
    return np.asarray(nibabel.load(path).dataobj).T


def by_truth(out, patients):
    """Truth and document of each sample, joined by the UID of the CT."""
    uids = {truth.series_uids["CT"][0]: truth for truth in patients}
    return [(uids[one["images"][0]["dicom"]["SeriesInstanceUID"]], one) for one in documents(out)]


def test_nifti_holds_true_voxels_and_true_masks(converted, patients):
    pairs = by_truth(converted.path, patients)
    assert len(converted.written) == len(pairs) == len(patients)
    for truth, one in pairs:
        files = {part["name"]: converted.path / part["file"] for part in (*one["images"], *one["masks"])}
        np.testing.assert_array_equal(voxels(files["CT"]), truth.image("CT"))
        np.testing.assert_array_equal(voxels(files["liver"]), truth.masks("CT", ["liver"])["liver"])
        np.testing.assert_array_equal(voxels(files["tumour"]), truth.masks("CT", ["GTV"])["GTV"])
        image = nibabel.load(files["CT"])
        np.testing.assert_allclose(image.affine, truth.grids["CT"].affine_ras, atol=1e-4)
        assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)


def test_the_document_says_what_is_in_the_files(converted, patients):
    truth, one = by_truth(converted.path, patients)[0]
    (image,) = one["images"]
    array = truth.image("CT")
    assert image["shape"] == list(array.shape)
    assert image["size"] == list(SIZE)
    assert image["spacing"] == pytest.approx(SPACING)
    assert image["unit"] == "HU"
    assert image["statistics"]["mean"] == pytest.approx(array.mean())
    assert image["statistics"]["percentile_99.5"] == pytest.approx(np.percentile(array, 99.5))
    assert one["masks"][0]["voxels"] == np.count_nonzero(truth.masks("CT", ["liver"])["liver"])
    assert one["license"] == "CC0-1.0"
    assert one["annotations"] == ["RTSTRUCT"]
    structures = next(series for series in one["series"] if series["modality"] == "RTSTRUCT")
    assert structures["referenced_series"] == [truth.series_uids["CT"][0]]
    assert structures["StudyInstanceUID"] == image["dicom"]["StudyInstanceUID"]
    assert [step["step"] for step in one["provenance"]][:2] == ["ReadRois", "CheckFinite"]


def test_one_table_as_parquet_and_as_csv(converted, patients):
    rows = pq.read_table(converted.path / "metadata.parquet").to_pylist()
    with (converted.path / "metadata.csv").open() as file:
        text = list(csv.DictReader(file))
    assert Counter(row["kind"] for row in rows) == {"image": len(patients), "mask": 2 * len(patients)}
    assert [row["file"] for row in text] == [row["file"] for row in rows]
    assert all((converted.path / row["file"]).is_file() for row in rows)
    image = rows[0]
    assert (image["Modality"], image["unit"], image["size_x"], image["license"]) == ("CT", "HU", SIZE[0], "CC0-1.0")


def test_no_file_names_a_patient(converted, patients):
    for path in (path for path in converted.path.rglob("*") if path.is_file()):
        text = str(path.relative_to(converted.path)).encode() + path.read_bytes()
        assert not any(truth.patient_id.encode() in text for truth in patients), path.name
    assert converted.path.with_name("nifti.patients.csv").stat().st_mode & 0o077 == 0


def test_threads_and_processes_write_the_same_bytes(index, recipe, converted, tree_hash, tmp_path, monkeypatch):
    convert_dataset(index, tmp_path / "threads", recipe=recipe, jobs=2)
    monkeypatch.setattr("medimagenet.compiler.workers.THREADS_UP_TO_BYTES", 0)
    convert_dataset(index, tmp_path / "processes", recipe=recipe, jobs=2)
    assert tree_hash(tmp_path / "threads") == tree_hash(tmp_path / "processes")
    names = {path.relative_to(tmp_path / "threads") for path in (tmp_path / "threads").rglob("*")}
    assert names == {path.relative_to(converted.path) for path in converted.path.rglob("*")}


def test_what_is_there_stays_and_what_is_broken_is_made_again(index, recipe, converted, tmp_path):
    out = tmp_path / "nifti"
    shutil.copytree(converted.path, out)
    cut = next(out.glob("*/*/CT.nii.gz"))
    cut.write_bytes(cut.read_bytes()[:-1])
    report = convert_dataset(index, out, recipe=recipe, jobs=1)
    assert (len(report.unchanged), len(report.written)) == (5, 1)
    assert cut.read_bytes() == (converted.path / cut.relative_to(out)).read_bytes()


def test_other_settings_or_other_files_are_not_overwritten(index, recipe, converted, tmp_path):
    with pytest.raises(ExportError, match="with other settings"):
        convert_dataset(index, converted.path, recipe=recipe, level=3)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="is no conversion"):
        convert_dataset(index, tmp_path, recipe=recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_samples_that_left_the_index_leave(patients, recipe, tmp_path):
    for truth in patients[:3]:
        shutil.copytree(truth.folder, tmp_path / "in" / truth.folder.name)
    convert_dataset(tmp_path / "in", tmp_path / "out", recipe=recipe, jobs=1)
    shutil.rmtree(tmp_path / "in" / patients[0].folder.name)
    report = convert_dataset(tmp_path / "in", tmp_path / "out", recipe=recipe, jobs=1)
    assert Counter(outcome.state for outcome in report.outcomes) == {"unchanged": 2, "removed": 1}
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 6


def test_without_a_recipe_every_series_is_converted_with_all_its_regions(patients, tmp_path):
    report = convert_dataset(patients[0].folder, tmp_path / "out", jobs=1)
    found = documents(tmp_path / "out")
    assert len(report.written) == len(found)
    ct = next(one for one in found if one["images"][0]["name"] == "CT")
    wanted = patients[0].masks("CT")
    assert [mask["name"] for mask in ct["masks"]] == list(wanted.names)
    for mask in ct["masks"]:
        np.testing.assert_array_equal(voxels(tmp_path / "out" / mask["file"]), wanted[mask["name"]])


def test_hdf5_holds_the_same_as_nifti(index, recipe, converted, tmp_path):
    report = convert_dataset(index, tmp_path / "h5", to="hdf5", recipe=recipe, jobs=1)
    assert len(report.written) == 6
    for one in documents(converted.path):
        with h5py.File(tmp_path / "h5" / one["patient_id"] / f"{one['sample_id']}.h5") as file:
            np.testing.assert_array_equal(file["images/CT"][()], voxels(converted.path / one["images"][0]["file"]))
            for mask in one["masks"]:
                np.testing.assert_array_equal(file[f"masks/{mask['name']}"][()], voxels(converted.path / mask["file"]))


def check_nnunet(folder):
    """What nnU-Net 2.8's verify_dataset_integrity checks, by its own words: see there."""
    dataset = json.loads((folder / "dataset.json").read_text())
    values = list(dataset["labels"].values())
    assert sorted(values) == list(range(len(values)))  # "labels must be in consecutive order"
    assert dataset["labels"]["background"] == 0
    cases = {path.name[: -len(".nii.gz")] for path in (folder / "labelsTr").iterdir()}
    images = [path.name for path in (folder / "imagesTr").iterdir()]
    assert len(cases) == dataset["numTraining"]
    channels = range(len(dataset["channel_names"]))
    assert sorted(images) == sorted(f"{case}_{k:04d}.nii.gz" for case in cases for k in channels)
    for case in cases:
        label = SimpleITK.ReadImage(str(folder / "labelsTr" / f"{case}.nii.gz"))
        assert set(np.unique(SimpleITK.GetArrayFromImage(label))) <= set(values)
        for k in channels:
            image = SimpleITK.ReadImage(str(folder / "imagesTr" / f"{case}_{k:04d}.nii.gz"))
            assert np.isfinite(SimpleITK.GetArrayFromImage(image)).all()
            for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
                np.testing.assert_allclose(getattr(image, name)(), getattr(label, name)(), atol=1e-6)
    return dataset, cases


def test_nnunet_raw_is_what_nnunet_wants(index, tmp_path):
    recipe = Recipe.from_yaml(WITH_TEST)
    out = tmp_path / "Dataset042_Synthetic"
    report = convert_dataset(index, out, to="nnunet", recipe=recipe, jobs=1)
    dataset, cases = check_nnunet(out)
    assert dataset["channel_names"] == {"0": "CT"}
    assert dataset["labels"] == {"background": 0, "liver": 1, "tumour": 2}
    assert len(list((out / "imagesTs").iterdir())) == len(report.written) - len(cases) > 0
    (fold,) = json.loads((out / "splits_final.json").read_text())
    assert sorted(fold["train"] + fold["val"]) == sorted(cases)
    assert fold["val"]


OWN_CHECK = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], 1)
"""


@pytest.mark.skipif(not PEERS.is_file(), reason="the environment of the peers is not there")
def test_nnunets_own_check_accepts_it(index, tmp_path):
    out, script = tmp_path / "Dataset042_Synthetic", tmp_path / "check.py"
    convert_dataset(index, out, to="nnunet", recipe=Recipe.from_yaml(WITH_TEST), jobs=1)
    script.write_text(OWN_CHECK)

    def check():
        return subprocess.run([PEERS, script, out], capture_output=True, text=True, check=False)

    accepted = check()
    if "ModuleNotFoundError" in accepted.stderr:
        pytest.skip("the environment of the peers has no nnU-Net")
    assert accepted.returncode == 0, accepted.stderr
    assert "verify_dataset_integrity Done" in accepted.stdout
    next((out / "labelsTr").iterdir()).unlink()
    assert check().returncode != 0


def test_nnunet_needs_classes_and_a_name(index, recipe, tmp_path):
    with pytest.raises(RecipeError, match="needs classes"):
        convert_dataset(index, tmp_path / "Dataset001_A", to="nnunet")
    with pytest.raises(ValueError, match=r"Dataset042_raw, got 'raw'"):
        convert_dataset(index, tmp_path / "raw", to="nnunet", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_converted_as_its_index_was(index, recipe, converted, tmp_path):
    store = compile_store(index, recipe, tmp_path / "a.zarr", jobs=1).path
    convert_dataset(store, tmp_path / "nifti", jobs=1)
    ours = {one["sample_id"]: one for one in documents(tmp_path / "nifti")}
    assert set(ours) == {one["sample_id"] for one in documents(converted.path)}
    for one in documents(converted.path):
        again = ours[one["sample_id"]]
        for part, other in zip((*one["images"], *one["masks"]), (*again["images"], *again["masks"]), strict=True):
            first, second = (
                nibabel.load(converted.path / part["file"]),
                nibabel.load(tmp_path / "nifti" / other["file"]),
            )
            np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
            np.testing.assert_array_equal(first.affine, second.affine)
    with pytest.raises(RecipeError, match="cannot be applied to store"):
        convert_dataset(store, tmp_path / "again", recipe=recipe)


def test_a_sample_that_cannot_be_decoded_is_reported_and_the_others_are_there(tmp_path):
    write_patients(tmp_path / "in", 2, size=SIZE, spacing=SPACING, jobs=1)
    index = index_directory(tmp_path / "in", jobs=1)
    ct = next(row for row in index.rows() if row["Modality"] == "CT")
    victim = index.paths(ct)[3]
    victim.write_bytes(victim.read_bytes()[:-100])
    report = convert_dataset(index, tmp_path / "out", jobs=1)
    (skipped,) = report.skipped
    assert "not_decodable" in {finding.code for finding in skipped.findings}
    assert len(report.written) == len(documents(tmp_path / "out")) > 0
    assert skipped.sample_id in (tmp_path / "out" / "report.csv").read_text()


def test_kill_minus_nine_at_any_moment_loses_whole_samples_only(patients, tmp_path):
    """Killed twice; then what was made without interruption is what is there."""
    folder = patients[0].folder.parent
    program = (
        "from medimagenet.compiler.convert import convert_dataset; from pathlib import Path; import sys\n"
        "convert_dataset(Path(sys.argv[1]), Path(sys.argv[2]), jobs=1)\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    total = len(documents(tmp_path / "whole"))
    for wanted in (1, total - 1):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list((tmp_path / "killed").glob("*/*/sample.json"))) < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for one in documents(tmp_path / "killed"):
            for name, size in one["files"].items():
                assert (tmp_path / "killed" / name).stat().st_size == size
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    names = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*"))
    assert names == sorted(path.relative_to(tmp_path / "killed") for path in (tmp_path / "killed").rglob("*"))
    for name in names:
        place = tmp_path / "whole" / name
        if place.is_file() and name.name != "report.csv":
            assert place.read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    assert not (tmp_path / "killed" / ".partial").exists()


def test_what_a_recipe_repairs_is_repaired_here_too(tmp_path):
    write_patients(tmp_path / "in", 1, size=SIZE, spacing=SPACING, jobs=1, defects=["missing_slices"])
    index = index_directory(tmp_path / "in", jobs=1)
    with pytest.raises(ExportError, match="missing_slices"):
        convert_dataset(index, tmp_path / "skipped", recipe=Recipe.from_yaml(RECIPE), jobs=1)
    fixing = Recipe.from_yaml(RECIPE + "findings: {missing_slices: fix}")
    report = convert_dataset(index, tmp_path / "fixed", recipe=fixing, jobs=1)
    (one,) = documents(tmp_path / "fixed")
    assert len(report.written) == 1
    assert "Repair" in [step["step"] for step in one["provenance"]]
