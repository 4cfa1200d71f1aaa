"""Names of folders as sources.md, section 3, lists them."""

from pathlib import PurePath

import pytest

from medimagenet.sources.nmdid_layout import NamedSeries, disagreements, read_names

CASE = "case-100010/omi/incomingdir/case-100010"


@pytest.mark.parametrize(
    ("place", "region", "kernel", "thickness", "step"),
    [
        ("STANDARD_HEAD-NECK-U-EXT/THIN_BONE_H-N-UXT", "HEAD", "bone", 1.0, 0.5),
        ("STANDARD_TORSO/BONE_TORSO_3_X_3", "TORSO", "bone", 3.0, 3.0),
        ("STANDARD_TORSO/THIN_BONE_TORSO", "TORSO", "bone", 1.0, 0.5),
        ("STANDARD_TORSO/LUNG_3X3", "TORSO", "lung", 3.0, 3.0),
        ("LOWER_EXTREMITY/BONE_L-EXT_3X3", "LOWER EXTREMITY", "bone", 3.0, 3.0),
        ("LOWER_EXTREMITY/BONE_LWR_EXT_3X3", "LOWER EXTREMITY", "bone", 3.0, 3.0),
        ("LOWER_EXTREMITY/THIN_BONE_L-EXT", "LOWER EXTREMITY", "bone", 1.0, 0.5),
        ("STANDARD_TORSO/SOFT_TORSO_1.5X0.75", "TORSO", "soft", 1.5, 0.75),
        ("STANDARD_TORSO/NONE", "TORSO", None, None, None),
    ],
)
def test_what_names_say(place, region, kernel, thickness, step):
    found = read_names(PurePath(CASE, place))
    assert found.case == "100010"
    assert (found.region, found.kernel, found.thickness_mm, found.step_mm) == (region, kernel, thickness, step)
    assert (found.study, found.series) == tuple(place.split("/"))


@pytest.mark.parametrize(
    ("name", "localizer"),
    [("NONE", True), ("LOCALIZER", True), ("Topogram_1", True), ("BONE_TORSO_3_X_3", False), ("NONESUCH", False)],
)
def test_what_is_no_reconstruction(name, localizer):
    assert read_names(PurePath(CASE, "STANDARD_TORSO", name)).localizer is localizer


def test_a_zip_and_a_place_without_names():
    assert read_names(PurePath("case-100010.zip")).case == "100010"
    assert read_names(PurePath("case-1000101")).case is None
    assert read_names(PurePath("x")) == NamedSeries(series="x")
    assert read_names(PurePath()) == NamedSeries()


TORSO = read_names(PurePath(CASE, "STANDARD_TORSO/BONE_TORSO_3_X_3"))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"PatientID": "100010", "BodyPartExamined": "CHEST", "SliceThickness": 3.0, "step_mm": 3.0},
        {"PatientID": "case-100010", "SliceThickness": 2.999, "ConvolutionKernel": "B60s"},
        {"PatientID": "anonymous", "BodyPartExamined": "WHOLEBODY", "ConvolutionKernel": "YD"},
        {"BodyPartExamined": "UNKNOWN THING", "ConvolutionKernel": "Bone"},
    ],
)
def test_headers_that_agree_or_do_not_tell(header):
    assert list(disagreements(TORSO, header)) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"PatientID": "case-100011"}, "another case"),
        ({"SliceThickness": 1.0}, "thickness, mm, as 3, and the headers 1"),
        ({"step_mm": 0.5}, "step between slices, mm, as 3, and the headers 0.5"),
        ({"ConvolutionKernel": "B30f"}, "kernel, as bone, and the headers B30f"),
        ({"ConvolutionKernel": "STANDARD"}, "kernel, as bone"),
        ({"BodyPartExamined": "HEAD"}, "region, as TORSO, and the headers HEAD"),
    ],
)
def test_headers_that_disagree(header, words):
    (finding,) = disagreements(TORSO, header)
    assert finding.code == "layout_disagrees"
    assert words in finding.message
    assert "1000" not in finding.message  # never a patient's ID
