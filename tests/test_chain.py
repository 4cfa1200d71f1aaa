"""The whole chain on real patients, by the commands a user types: a folder goes in, a model that has learned comes out.

Judges: the reference masks (NIfTI) for what the store holds, the untrained net and the best constant predictor for
what training made of it.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from medimagenet import Index, Mask, Volume, open_index, open_store
from medimagenet.loading import PatchLoader
from medimagenet.train import TrainingSettings, train_segmentation

pytestmark = pytest.mark.realdata

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
PROGRAM = Path(sys.executable).with_name("medimagenet")
STEPS = 120


def medimagenet(*arguments, **options):
    """Run a command, and read the one JSON document that it prints."""
    command = [PROGRAM, *map(str, arguments), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def sts(realdata, tmp_path_factory):
    """Folder with sts.parquet and sts.zarr, and what the commands said."""
    folder = tmp_path_factory.mktemp("sts")
    said = {
        "index": medimagenet("index", realdata / "sts", "-o", folder / "sts.parquet", "--license", "CC-BY-3.0"),
        "samples": medimagenet("samples", folder / "sts.parquet", "--modalities", "CT,PT,RTSTRUCT"),
        "compile": medimagenet(
            "compile",
            folder / "sts.parquet",
            "--recipe",
            RECIPES / "sts_gtv" / "recipe.yaml",
            "-o",
            folder / "sts.zarr",
        ),
    }
    return folder, said


def test_eleven_patients_are_eleven_samples(sts):
    folder, said = sts
    assert said["index"]["series"] == 66
    assert said["index"]["unreadable"] == 0
    assert len(said["samples"]["samples"]) == 11
    assert (said["compile"]["written"], said["compile"]["skipped"]) == (11, 0)
    store = open_store(folder / "sts.zarr")
    assert len(store.ids("train")) + len(store.ids("val")) == 11
    assert medimagenet("verify", folder / "sts.zarr")["problems"] == []


def test_the_stored_tumour_is_the_reference_mask_on_the_grid_of_the_store(sts, realdata):
    """SimpleITK puts the reference mask (NIfTI) onto the stored grid, nearest voxel: not one voxel differs."""
    folder, _ = sts
    store = open_store(folder / "sts.zarr")
    patients = {row["SeriesInstanceUID"]: row["PatientID"] for row in open_index(folder / "sts.parquet").rows()}
    for sample_id in store.ids():
        patient = patients[store.row(sample_id)["series"][0]["series_uid"]]
        reference = SimpleITK.ReadImage(next((realdata / "sts_reference").glob(f"{patient}*")) / "CT_mask.nii.gz")
        stored = store.array(sample_id, "label")
        target = Mask(stored.read() > 0, stored.grid, ("gtv",))
        grid = Volume(target.array[0].astype(np.uint8), target.grid).to_sitk()
        expected = SimpleITK.Resample(reference, grid, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0)
        assert target.array.any()
        np.testing.assert_array_equal(target.array[0], SimpleITK.GetArrayFromImage(expected) > 0)


def test_training_beats_the_untrained_net_and_every_constant(sts):
    folder, _ = sts
    script = [sys.executable, RECIPES / "sts_gtv" / "train.py", folder / "sts.zarr", "--out", folder / "model"]
    subprocess.run([*script, "--steps", str(STEPS)], check=True, capture_output=True)
    report = json.loads((folder / "model" / "training.json").read_text())
    quarter = STEPS // 4
    assert np.mean(report["losses"][-quarter:]) < 0.8 * np.mean(report["losses"][:quarter])
    dice = report["mean_dice"]
    assert dice["after"] > 0.3 > max(dice["before"], dice["constant"])
    with Image.open(folder / "model" / "loss.png") as curve:
        assert min(curve.size) > 200


def test_the_montage_is_drawn(sts):
    folder, _ = sts
    medimagenet("inspect", folder / "sts.zarr", "--plot", folder / "sts.png")
    with Image.open(folder / "sts.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100


def test_two_rois_of_a_large_ct_by_pattern(realdata, tmp_path):
    with zipfile.ZipFile(realdata / "nsclc_radiomics" / "LUNG1-001.zip") as archive:
        archive.extractall(tmp_path / "dicom")
    medimagenet("index", tmp_path / "dicom", "-o", tmp_path / "n.parquet", "--license", "CC-BY-NC-3.0")
    recipe = RECIPES / "nsclc_radiomics" / "recipe.yaml"
    said = medimagenet("compile", tmp_path / "n.parquet", "--recipe", recipe, "-o", tmp_path / "n.zarr", "--jobs", 1)
    assert said["written"] == 1
    store = open_store(tmp_path / "n.zarr")
    (sample_id,) = store.ids()
    row = store.row(sample_id)
    ml = {one["name"]: one["voxels"] * np.prod(row["spacing_mm"]) / 1000 for one in row["class_voxels"]}
    (ct,) = (row for row in open_index(tmp_path / "n.parquet").rows() if row["Modality"] == "CT")
    assert len(Index.paths(ct)) == 134
    voxel_ml = np.prod(ct["spacing_mm"]) / 1000
    lungs_ml = (795_750 + 1_036_805) * voxel_ml  # even-odd counts of the two contoured lungs, stated with the data
    assert ml["lungs"] + ml["gtv"] > lungs_ml * 0.99  # the tumour takes voxels of the lungs: the later class wins
    assert ml["lungs"] < lungs_ml * 1.01
    assert 100 < ml["gtv"] < 200
    assert "CC-BY-NC-3.0" in (tmp_path / "n.zarr" / "ATTRIBUTION.md").read_text()


def test_both_forms_train_the_same(sts):
    """The same patches in the same order, hence the same losses, but for how sums are rounded."""
    folder, _ = sts
    compiled = medimagenet(
        "compile", folder / "sts.parquet", "--recipe", RECIPES / "sts_gtv" / "recipe.yaml", "-o", folder / "sts.h5"
    )
    assert (compiled["written"], compiled["skipped"]) == (11, 0)
    stores = [open_store(folder / name) for name in ("sts.zarr", "sts.h5")]
    hashes, losses = [], []
    for number, store in enumerate(stores):
        with PatchLoader(store, patch_size=(48, 48, 32), patches_per_epoch=8, seed=1, workers=2) as loader:
            batches = [(batch["image"].numpy().tobytes(), batch["label"].numpy().tobytes()) for batch in loader]
        hashes.append([hashlib.sha256(b"".join(batch)).hexdigest() for batch in batches])
        settings = TrainingSettings(patch_size=(48, 48, 32), steps=4, channels=(4, 8))
        losses.append(train_segmentation(store, folder / f"trained-{number}", settings)[1].losses)
    assert len(set(hashes[0])) == 4
    assert hashes[0] == hashes[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
