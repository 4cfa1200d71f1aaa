"""Whole folders of real data. Judges: pydicom's full read, the NIfTI references, MANIFEST.csv."""

import csv
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import nibabel
import pydicom
import pytest

from medimagenet.errors import SourceError
from medimagenet.index import Index, find_samples, index_directory, index_source


@pytest.fixture(scope="module")
def everything(realdata):
    return index_directory(realdata)


def below(index, folder):
    return [row for row in index.rows() if Path(row["uri"]).is_relative_to(folder)]


def codes(row):
    return [finding["code"] for finding in row["findings"]]


def test_nothing_is_lost(everything, realdata):
    listed = Counter(str(path) for row in everything.rows() for path in Index.paths(row))
    listed.update(problem["path"] for problem in everything.problems)
    on_disk = Counter(str(Path(folder, name)) for folder, _, files in os.walk(realdata) for name in files)
    assert listed == on_disk


def test_keys_are_unique(everything):
    assert max(Counter(row["key"] for row in everything.rows()).values()) == 1


def test_sarcoma_images_have_the_shapes_of_their_references(everything, realdata):
    rows = [row for row in below(everything, realdata / "sts") if row["Modality"] != "RTSTRUCT"]
    assert len(rows) == 33
    for row in rows:
        patient, folder = Path(row["uri"]).relative_to(realdata / "sts").parts[:2]
        reference = nibabel.load(realdata / "sts_reference" / patient / f"{folder}_image.nii.gz")
        assert tuple(row["shape"]) == reference.shape[::-1]
        assert row["spacing_mm"] == pytest.approx(reference.header.get_zooms(), abs=1e-3)
        assert row["orientation"] == "LPS"
        assert row["n_instances"] == len(row["files"]) == row["shape"][0]
        heights = [pydicom.dcmread(path, specific_tags=["ImagePositionPatient"]) for path in Index.paths(row)[::8]]
        assert [h.ImagePositionPatient[2] for h in heights] == sorted(h.ImagePositionPatient[2] for h in heights)
        assert set(codes(row)) <= {"repeated_uid"}  # of three there are copies under oddities/constructed


def test_sarcoma_structures_name_their_images(everything, realdata):
    rows = below(everything, realdata / "sts")
    structs = [row for row in rows if row["Modality"] == "RTSTRUCT"]
    assert len(structs) == 33
    for struct in structs:
        (uid,) = struct["referenced_series"]
        folder = Path(struct["uri"]).parent
        (image,) = [row for row in rows if Path(row["uri"]) == folder / "image"]
        assert uid == image["SeriesInstanceUID"]
        assert struct["roi_names"] == [f"GTV_Mass_{folder.name}"]
        assert "dangling_reference" not in codes(struct)


def test_sarcoma_samples_have_the_structure_of_the_ct(realdata):
    found = find_samples(index_directory(realdata / "sts", jobs=1), "CT,PT,RTSTRUCT")
    assert len(found.samples) == 11
    for sample in found.samples:
        folders = {
            modality: Path(row["uri"]).relative_to(realdata / "sts").parts for modality, row in sample.series.items()
        }
        assert len({parts[0] for parts in folders.values()}) == 1
        assert [folders[modality][1] for modality in ("CT", "PT", "RTSTRUCT")] == ["CT", "PET", "CT"]
        assert sorted(row["roi_names"][0] for row in sample.others) == ["GTV_Mass_MR_T1", "GTV_Mass_PET"]
        assert [finding.code for finding in sample.findings] == ["other_annotation"]
    assert found.missing == ()


def test_a_flat_dump_without_extensions(realdata):
    folder = realdata / "oddities" / "constructed" / "flat_dump"
    index = index_directory(folder, jobs=1)
    assert Counter(row["Modality"] for row in index.rows()) == {"CT": 1, "MR": 1, "PT": 1, "RTSTRUCT": 3}
    assert {row["n_instances"] for row in index.rows()} == {47, 1}
    assert all(codes(row) == [] for row in index.rows())
    assert {Path(problem["path"]).name: problem["code"] for problem in index.problems} == {
        "empty.dcm": "not_dicom",
        "notes.txt": "not_dicom",
        "text_named.dcm": "not_dicom",
        "truncated_header.dcm": "truncated_file",
        "truncated_pixels.dcm": "truncated_file",
    }


def test_files_that_are_there_twice(realdata):
    folder = realdata / "oddities" / "constructed" / "duplicate_files"
    index = index_directory(folder, jobs=1)
    series, resent = sorted(index.rows(), key=lambda row: -row["n_instances"])
    assert (series["n_instances"], series["shape"][0], codes(series)) == (47, 47, ["duplicate_file", "repeated_uid"])
    assert (resent["files"], codes(resent)) == (["000030.dcm"], ["single_slice", "repeated_uid"])
    assert [(Path(problem["path"]).name, problem["code"]) for problem in index.problems] == [
        ("000010 (1).dcm", "duplicate_file"),
        ("copy_of_000020.dcm", "duplicate_file"),
    ]


def test_one_instance_in_eight_encodings(everything, realdata):
    rows = [row for row in everything.rows() if row["files"][0].startswith("MR_small")]
    assert len(rows) == 8
    assert len({row["SeriesInstanceUID"] for row in rows}) == 1
    assert all("repeated_uid" in codes(row) for row in rows)


def test_a_study_with_dicomdirs_and_names_out_of_order(everything, realdata):
    folder = realdata / "oddities" / "philips_ct_study" / "S21570"
    rows = {Path(row["uri"]).name: row for row in below(everything, folder)}
    assert {name: row["n_instances"] for name, row in rows.items()} == {"S1000": 1, "S2010": 10, "S4010": 6}
    heights = [float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in Index.paths(rows["S2010"])]
    assert heights == sorted(heights)
    assert rows["S2010"]["files"] != sorted(rows["S2010"]["files"])
    problems = [problem for problem in everything.problems if problem["path"].startswith(str(folder))]
    assert {problem["code"] for problem in problems} == {"dicomdir"}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("oddities/missing_slice", {"missing_slices"}),
        ("oddities/repeated_position", {"several_channels", "single_slice"}),
        ("oddities/gantry_tilt/siemens_4slices", {"gantry_tilt"}),
        ("oddities/localizer_in_series", {"mixed_orientation", "mixed_spacing", "several_volumes"}),
        ("oddities/dicomdir/TINY_ALPHA", {"no_position", "no_pixel_data"}),
        ("breast_mri_nact_pilot/UCSF-BR-06/image_dce_3dfgre_orig", {"several_channels"}),
        ("cmb_crc", set()),
        ("phantoms/ibsi_2_orientation", set()),
        ("sts_raw/STS_001/FDG_PET/image", {"nonuniform_spacing"}),
    ],
)
def test_findings_of_image_series(everything, realdata, folder, expected):
    (row,) = [row for row in below(everything, realdata / folder) if row["file_format"] is None]
    assert set(codes(row)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("rtstruct/rt_utils_mock/rt.dcm", set()),
        ("rtstruct/rt_utils_mock/invalid_reference_rt.dcm", {"dangling_reference", "repeated_uid"}),
        ("rtdose/dicompyler_example/rtss.dcm", {"dangling_reference"}),  # 98 images, one is present
        ("rtdose/pydicom_tps/rtplan.dcm", {"dangling_reference"}),
        ("seg/highdicom/seg_image_sm_control_labelmap.dcm", {"dangling_reference"}),
        ("breast_mri_nact_pilot/UCSF-BR-06/mask/1-1.dcm", set()),  # named by instances only
    ],
)
def test_findings_of_references(everything, realdata, path, expected):
    (row,) = [row for row in everything.rows() if Index.paths(row) == [realdata / path]]
    assert set(codes(row)) == expected


@pytest.mark.parametrize(
    ("modalities", "folder", "expected"),
    [
        (
            "CT,RTSTRUCT,RTPLAN,RTDOSE",
            "rtdose",  # the dose is of another patient by its own header: the reference counts
            {"CT": "ct.0.dcm", "RTSTRUCT": "rtss.dcm", "RTPLAN": "rtplan.dcm", "RTDOSE": "rtdose.dcm"},
        ),
        ("CT,SEG", "seg/dcmqi/23x38x3", {"CT": "IMG0001.dcm", "SEG": "label.seg"}),
        ("MR,SEG", "breast_mri_nact_pilot", {"MR": "1-001.dcm", "SEG": "1-1.dcm"}),
    ],
)
def test_samples_through_references(realdata, modalities, folder, expected):
    (sample,) = index_directory(realdata / folder, jobs=1).samples(modalities).samples
    assert {modality: row["files"][0] for modality, row in sample.series.items()} == expected


def test_series_are_those_of_the_manifest(everything, realdata):
    rows = defaultdict(list)
    for row in everything.rows():
        for path in Index.paths(row):
            rows[str(path.relative_to(realdata)), row["SeriesInstanceUID"]].append(row)
            rows[str(path.parent.relative_to(realdata)), row["SeriesInstanceUID"]].append(row)
    other = {}
    with (realdata / "MANIFEST.csv").open(newline="") as stream:
        for line in csv.DictReader(stream):
            if line["series_uid"]:
                hits = {row["key"]: row for row in rows[line["path"], line["series_uid"]]}
                counts = sorted((row["Modality"], row["n_instances"]) for row in hits.values())
                if counts != [(line["modality"], int(line["n_files"]))]:
                    other[line["path"]] = counts
    assert other == {
        # inside a zip, which is not opened
        "nsclc_radiomics/LUNG1-001.zip/LUNG1-001/image": [],
        "nsclc_radiomics/LUNG1-001.zip/LUNG1-001/mask_rtstruct/1-1.dcm": [],
        # cut short: in the report
        "oddities/broken/MR_truncated.dcm": [],
        "oddities/broken/rtplan_truncated.dcm": [],
        "oddities/constructed/flat_dump": [("CT", 47)],  # of 48
        # the same bytes again: in the report
        "oddities/constructed/duplicate_files/STS_025_PET": [("PT", 47)],  # of 49
        # instances of one folder, series UID and encoding are one row, where the manifest has a line for each file
        **{f"oddities/transfer_syntax/dcm_qa_ts/{n}.dcm": [("MR", 2)] for n in (5, 6, 7, 8)},
    }


def test_a_folder_that_moves_keeps_keys_and_samples(realdata, tmp_path):
    shutil.copytree(realdata / "sts" / "STS_008", tmp_path / "a" / "b")
    before = index_directory(realdata / "sts" / "STS_008", jobs=1)
    after = index_directory(tmp_path / "a" / "b", jobs=1)
    assert [row["key"] for row in before.rows()] == [row["key"] for row in after.rows()]
    ids = [[sample.sample_id for sample in index.samples("CT,RTSTRUCT").samples] for index in (before, after)]
    assert ids[0] == ids[1]


def test_processes_change_nothing(realdata):
    one, two = (index_directory(realdata / "oddities" / "constructed", jobs=jobs) for jobs in (1, 2))
    assert one.table.equals(two.table)
    assert one.problems == two.problems


def test_progress_and_origin(realdata):
    calls = []
    folder = realdata / "rtstruct"
    index = index_directory(
        folder, jobs=1, progress=lambda *call: calls.append(call), collection_id="c", license="CC0", doi="10.1/2"
    )
    assert calls[-1] == (len([path for path in folder.rglob("*") if path.is_file()]),) * 2
    assert {(row["collection_id"], row["license"], row["doi"]) for row in index.rows()} == {("c", "CC0", "10.1/2")}


def test_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="is empty"):
        index_directory(tmp_path)


def test_only_what_has_changed_is_read_and_the_index_is_the_same(realdata, tmp_path):
    shutil.copytree(realdata / "sts" / "STS_008", tmp_path / "a")  # keeps the times
    path = tmp_path / "x.parquet"
    first = index_directory(tmp_path / "a", jobs=1)
    first.write(path)
    images = sorted((tmp_path / "a" / "CT" / "image").iterdir())
    images[4].rename(images[4].with_name("renamed.dcm"))
    shutil.rmtree(tmp_path / "a" / "PET")
    second = index_directory(tmp_path / "a", previous=path, jobs=1)
    assert second.inventory.n_read == 1
    assert second.inventory.n_kept + second.inventory.n_gone == first.inventory.n_read
    full = index_directory(tmp_path / "a", jobs=1)
    assert second.table.equals(full.table)
    assert second.problems == full.problems
    assert {row["Modality"] for row in second.rows()} < {row["Modality"] for row in first.rows()}


def test_a_folder_as_a_source(realdata):
    folder = realdata / "rtdose"
    plain = index_directory(folder, jobs=1, license="CC0")
    assert index_source(str(folder), jobs=1, license="CC0").table.equals(plain.table)
    assert index_source(f"folder:{folder}", jobs=1, license="CC0").table.equals(plain.table)
