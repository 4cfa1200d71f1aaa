"""Rows of groups whose headers are made by hand: the truth is what was put in."""

from dataclasses import replace
from pathlib import Path

import pytest

from medimagenet.sources.grouping import Duplicate, Group
from medimagenet.sources.records import make_record
from medimagenet.sources.references import References

ORIGIN = {"source": "folder", "collection_id": None, "license": None, "doi": None}


@pytest.fixture
def make_stack(make_header):
    """Headers of slices at the heights given, mm, named by number."""

    def make(heights, **values):
        plane = {"ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "PixelSpacing": [2.0, 1.5]}
        size = {"Rows": 4, "Columns": 5, "PhotometricInterpretation": "MONOCHROME2"}
        return [
            make_header(f"s/{n}", f"1.3.{n}", ImagePositionPatient=[0.0, 0.0, z], **(plane | size | values))
            for n, z in enumerate(heights)
        ]

    return make


def record_of(headers, root, references=None, duplicates=()):
    return make_record(Group(tuple(headers), duplicates), references or References(), root, **ORIGIN)


def codes(record):
    return [finding.code for finding in record.findings]


def test_slices_are_in_the_order_of_their_positions(make_stack, tmp_path):
    record = record_of(make_stack([6.0, 0.0, 9.0, 3.0]), tmp_path)
    assert record.files == ("1", "3", "0", "2")
    assert (record.shape, record.spacing_mm, record.orientation) == ((4, 4, 5), (1.5, 2.0, 3.0), "LPS")
    assert (record.n_instances, record.size_bytes, record.uri) == (4, 400, str(tmp_path / "s"))
    assert record.findings == ()
    assert record.SOPInstanceUID is None


def test_texts_come_from_the_first_file_that_has_them(make_stack, tmp_path):
    first, second = make_stack([0.0, 3.0], SeriesNumber=7)
    second = replace(second, values={**second.values, "StudyDescription": "thorax", "SliceThickness": 2})
    record = record_of([first, second], tmp_path)
    assert (record.StudyDescription, record.SliceThickness, record.SeriesNumber) == ("thorax", 2.0, "7")
    assert (record.BodyPartExamined, record.PatientID) == (None, "p")


def test_a_stack_that_is_no_volume_has_no_shape(make_stack, tmp_path):
    record = record_of(make_stack([0.0, 3.0, 6.0, 15.0]), tmp_path)
    assert (record.shape, record.spacing_mm, record.orientation) == (None, None, None)
    assert codes(record) == ["missing_slices"]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"PhotometricInterpretation": "RGB"}, "not_monochrome"),
        ({"LossyImageCompression": "01"}, "lossy_compressed"),
        ({"TransferSyntaxUID": "1.2.840.10008.1.2.4.50"}, "lossy_compressed"),
    ],
)
def test_findings_of_pixels(make_stack, tmp_path, values, code):
    assert codes(record_of(make_stack([0.0, 3.0], **values), tmp_path)) == [code]


@pytest.mark.parametrize("values", [{"LossyImageCompression": "00"}, {"TransferSyntaxUID": "1.2.840.10008.1.2.4.70"}])
def test_lossless_is_no_finding(make_stack, tmp_path, values):
    assert codes(record_of(make_stack([0.0, 3.0], **values), tmp_path)) == []


def test_images_without_pixels(make_stack, tmp_path):
    first, second = make_stack([0.0, 3.0])
    record = record_of([first, replace(second, has_pixels=False)], tmp_path)
    assert codes(record) == ["no_pixel_data"]
    assert record.findings[0].numbers == {"images": 1, "of": 2}


def test_files_that_contradict_each_other(make_stack, tmp_path):
    first, second = make_stack([0.0, 3.0])
    for keyword, code in (("StudyInstanceUID", "mixed_study"), ("FrameOfReferenceUID", "mixed_frame_of_reference")):
        pair = [
            replace(header, values={**header.values, keyword: f"1.{n}"}) for n, header in enumerate((first, second))
        ]
        assert codes(record_of(pair, tmp_path)) == [code]


@pytest.mark.parametrize(("modality", "code"), [("CT", "no_position"), ("CR", "no_image_geometry")])
def test_images_without_a_place(make_header, tmp_path, modality, code):
    assert codes(record_of([make_header("i", "1.3", Modality=modality)], tmp_path)) == [code]


def test_an_object(make_header, tmp_path):
    names = {"ROINames": ["lung", "heart"], "ReferencedFrameOfReferenceUIDs": ["1.7"]}
    header = make_header("rs", "1.4", Modality="RTSTRUCT", has_pixels=False, **names)
    record = record_of([header], tmp_path, References(("1.2",), ("1.9",)))
    assert (record.SOPInstanceUID, record.roi_names, record.FrameOfReferenceUID) == ("1.4", ("lung", "heart"), "1.7")
    assert (record.referenced_series, record.referenced_instances, record.findings) == (("1.2",), ("1.9",), ())


def test_duplicates_are_told(make_stack, tmp_path):
    record = record_of(make_stack([0.0, 3.0]), tmp_path, duplicates=(Duplicate(Path("x"), Path("y")),))
    assert codes(record) == ["duplicate_file"]


def test_the_key_holds_what_a_row_is_and_not_where_the_tree_stands(make_stack, tmp_path):
    headers = make_stack([0.0, 3.0])
    moved = [replace(h, file=str(Path("/elsewhere") / h.path.relative_to(tmp_path))) for h in headers]
    deeper = [replace(h, file=str(tmp_path / "deeper" / h.path.relative_to(tmp_path))) for h in headers]
    changed = [headers[0], replace(headers[1], header_hash="another")]
    record = record_of(headers, tmp_path)
    assert record_of(moved, Path("/elsewhere")).key == record.key
    assert record_of(deeper, tmp_path).key != record.key
    assert record_of(deeper, tmp_path).content_hash == record.content_hash
    assert record_of(changed, tmp_path).key != record.key
    assert record.key.startswith("1.2:")
