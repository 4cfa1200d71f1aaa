"""Image-label pairs in a CSV, and nnU-Net folders: NIfTI in, the same out, and a store of it."""

import csv
import json

import nibabel
import numpy as np
import pytest

from medimagenet.compiler import compile_store, convert_dataset, index_pairs
from medimagenet.errors import SourceError, StoreError
from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.store import open_store
from medimagenet.synthetic import write_patients

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
RECIPE = "name: pairs\nmodalities: [CT, SEG]\nrois: {gtv: [%s]}\nsplit: {train: 1}\n"


def write(folder, number, label_affine=AFFINE):
    random = np.random.default_rng(number)
    image = random.integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    label = (random.random((12, 10, 8)) > 0.8).astype(np.uint8)
    for place, array, affine in (
        (f"imagesTr/case{number}_0000.nii.gz", image, AFFINE),
        (f"labelsTr/case{number}.nii.gz", label, label_affine),
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / place)
    return image.T, label.T


@pytest.fixture
def folder(tmp_path):
    arrays = [write(tmp_path / "in", number) for number in range(2)]
    names = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 2}
    (tmp_path / "in" / "dataset.json").write_text(json.dumps({**names, "file_ending": ".nii.gz"}))
    lines = [["image", "label", "patient", "modality"]]
    lines += [[f"imagesTr/case{k}_0000.nii.gz", f"labelsTr/case{k}.nii.gz", f"P{k}", "CT"] for k in range(2)]
    with (tmp_path / "in" / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return tmp_path / "in", arrays


@pytest.mark.parametrize(("way", "roi"), [("pairs", "label_1"), ("folder", "tumour")])
def test_nifti_becomes_a_store_like_dicom(folder, tmp_path, way, roi):
    place, arrays = folder
    index = index_pairs(place / "pairs.csv") if way == "pairs" else index_directory(place, jobs=1)
    report = compile_store(index, Recipe.from_yaml(RECIPE % roi), tmp_path / "a.zarr", jobs=1)
    store = open_store(report.path)
    assert len(report.written) == 2
    found = {store.array(name).read().tobytes(): store.array(name, "label").read()[0] for name in store.ids()}
    for image, label in arrays:
        np.testing.assert_array_equal(found[image.tobytes()], label)
    assert store.array(store.ids()[0]).grid.spacing == (2.0, 2.0, 3.0)


def test_nifti_is_converted_as_it_is(folder, tmp_path):
    place, arrays = folder
    report = convert_dataset(place / "pairs.csv", tmp_path / "out", jobs=1)
    assert len(report.written) == 2
    images = {np.asarray(nibabel.load(p).dataobj).T.tobytes() for p in (tmp_path / "out").rglob("CT.nii.gz")}
    assert images == {image.tobytes() for image, _ in arrays}
    assert len(list((tmp_path / "out").rglob("mask_label_1.nii.gz"))) == 2


def test_a_label_on_another_grid_skips_the_sample_and_says_so(folder, tmp_path):
    place, _ = folder
    moved = AFFINE.copy()
    moved[2, 3] = 40.0
    write(place, 1, moved)
    report = compile_store(index_pairs(place / "pairs.csv"), Recipe.from_yaml(RECIPE % "label_1"), tmp_path / "a.zarr")
    assert len(report.written) == 1
    told = {finding.code for outcome in report.skipped for finding in outcome.findings} | {
        "grid_mismatch" if "CT" in why or "image" in why else "" for _, why in report.not_formed
    }
    assert "grid_mismatch" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a first line with the columns image, label, patient, modality"),
        ("picture,label\na,b\n", "must have a first line"),
        ("image,label\n,b.nii\n", "line 2: no image"),
        ("image,label\nabsent.nii,\n", "line 2: image absent.nii is not there"),
    ],
)
def test_wrong_tables_are_told_with_the_line(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=words):
        index_pairs(tmp_path / "a.csv")


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.uint16])
def test_any_type_of_voxels_is_stored_with_its_values(tmp_path, dtype):
    image = np.random.default_rng(0).integers(0, 900, (12, 10, 8)).astype(dtype)
    label = (image > 700).astype(np.float64)
    for name, array in (("image", image), ("label", label)):
        nibabel.save(nibabel.Nifti1Image(array, AFFINE, dtype=array.dtype), tmp_path / f"{name}.nii.gz")
    (tmp_path / "a.csv").write_text("image,label,modality\nimage.nii.gz,label.nii.gz,MR\n")
    recipe = Recipe.from_yaml((RECIPE % "label_1").replace("CT", "MR"))
    store = open_store(compile_store(index_pairs(tmp_path / "a.csv"), recipe, tmp_path / "a.zarr", jobs=1).path)
    np.testing.assert_array_equal(store.array(store.ids()[0]).read()[0].T, image)
    np.testing.assert_array_equal(store.array(store.ids()[0], "label").read()[0].T, label)


def test_further_axes_skip_a_sample_unless_the_recipe_keeps_it(tmp_path):
    image = np.random.default_rng(0).integers(0, 900, (12, 10, 8, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, AFFINE), tmp_path / "image.nii.gz")
    (tmp_path / "a.csv").write_text("image,modality\nimage.nii.gz,MR\n")
    index, plain = index_pairs(tmp_path / "a.csv"), "name: a\nmodalities: [MR]\nsplit: {train: 1}\n"
    with pytest.raises(StoreError, match="1 x several_channels"):
        compile_store(index, Recipe.from_yaml(plain), tmp_path / "a.zarr", jobs=1)
    kept = Recipe.from_yaml(plain + "findings: {several_channels: keep}\n")
    store = open_store(compile_store(index, kept, tmp_path / "a.zarr", jobs=1).path)
    np.testing.assert_array_equal(store.array(store.ids()[0]).read().T, image)


def test_a_folder_per_patient_with_a_file_per_region_becomes_one_mask(tmp_path):
    """As TotalSegmentator's data set is laid out; what no class takes is not read."""
    random, wanted = np.random.default_rng(0), {}
    for patient in ("s1", "s2"):
        (tmp_path / "in" / patient / "segmentations").mkdir(parents=True)
        image = random.integers(-1000, 1000, (40, 30, 20)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), tmp_path / "in" / patient / "ct.nii.gz")
        for region in ("liver", "spleen", "rib_left_1"):
            mask = (random.random((40, 30, 20)) > 0.7).astype(np.uint8)
            wanted[image.T.tobytes(), region] = mask.T
            place = tmp_path / "in" / patient / "segmentations" / f"{region}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(mask, AFFINE), place)
        place.write_bytes(place.read_bytes()[:-80])  # the header can be read, the voxels cannot
    recipe = Recipe.from_yaml((RECIPE % "spleen").replace("{gtv: ", "{liver: [liver], spleen: "))
    index = index_directory(tmp_path / "in", jobs=1)
    regions = [row["roi_names"] for row in index.rows() if row["Modality"] == "SEG"]
    assert regions == [["liver", "rib_left_1", "spleen"]] * 2
    store = open_store(compile_store(index, recipe, tmp_path / "a.zarr", jobs=1).path)
    assert len(store) == 2
    for name in store.ids():
        image, label = store.array(name).read()[0].tobytes(), store.array(name, "label").read()
        for channel, region in zip(label, ("liver", "spleen"), strict=True):
            np.testing.assert_array_equal(channel, wanted[image, region])


def test_what_convert_writes_comes_in_again_patient_for_patient(tmp_path):
    truths = write_patients(tmp_path / "d", 2, size=(24, 24, 12), spacing=(16, 16, 20), jobs=1)
    convert_dataset(tmp_path / "d", tmp_path / "n", jobs=1, keep_patient_ids=True)
    index = index_directory(tmp_path / "n", jobs=1)
    assert {row["PatientID"] for row in index.rows()} == {truth.patient_id for truth in truths}
    recipe = Recipe.from_yaml((RECIPE % "GTV").replace("{gtv: ", "{liver: [liver], gtv: "))
    store = open_store(compile_store(index, recipe, tmp_path / "a.zarr", jobs=1, keep_patient_ids=True).path)
    rows = {row["patient_id"]: row["sample_id"] for row in store.samples.to_pylist()}
    for truth in truths:
        drawn = truth.masks("CT", ["liver", "GTV"]).array
        np.testing.assert_array_equal(store.array(rows[truth.patient_id], "label").read(), drawn)
    again = convert_dataset(tmp_path / "n", tmp_path / "again", jobs=1)
    assert len(again.written) == 2
    names = sorted(path.name for path in (tmp_path / "n").rglob("*.nii.gz"))
    assert sorted(path.name for path in (tmp_path / "again").rglob("*.nii.gz")) == names
