"""The compiled scan gives what pydicom gives, or leaves the file to it. Judge: `thorough`, which is pydicom."""

import hashlib
import logging
import random
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimagenet.dicom import quick
from medimagenet.dicom.header_scan import read_header
from medimagenet.dicom.instance import InstanceHeader
from medimagenet.dicom.quick import QuickReader
from medimagenet.dicom.thorough import read_thoroughly

PYDICOM_FILES = sorted(path for path in Path(pydicom.__file__).parent.glob("data/test_files/**/*") if path.is_file())
DAMAGED = ("CT_small.dcm", "MR_small_implicit.dcm", "rtdose.dcm", "rtplan.dcm", "JPEG2000.dcm")
ELSEWHERE = (
    b"\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ",
    b"UN",
    b"\\",
    b"",
)


def assert_judged(paths):
    """How many files were read quickly, each as by pydicom."""
    reader = QuickReader()  # one for all: what it keeps of a file must not show in the next
    count = 0
    for path in paths:
        header = reader.read(path)
        if header is not None:
            judged = read_thoroughly(path)
            assert header == judged
            assert all(type(value) is type(judged.values[keyword]) for keyword, value in header.values.items())
            count += 1
    return count


def test_pydicoms_own_files():
    assert assert_judged(PYDICOM_FILES) > 60


@pytest.mark.realdata
def test_real_files(realdata):
    everything = sorted(path for path in realdata.rglob("*") if path.is_file())
    often = ("image", "mask", "image_dce_3dfgre_orig")  # folders of series that are much alike
    few = [path for number, path in enumerate(everything) if path.parent.name not in often or not number % 16]
    assert assert_judged(few) > 0.6 * len(few)


@pytest.mark.realdata
def test_structure_sets_and_slices_need_no_pydicom(realdata):
    paths = [path for path in (realdata / "sts" / "STS_001").rglob("*") if path.is_file()]
    reader = QuickReader()
    assert all(reader.read(path) for path in paths)
    names = {tuple(header.texts("ROINames")) for header in map(reader.read, paths) if header.modality == "RTSTRUCT"}
    assert names == {("GTV_Mass_CT",), ("GTV_Mass_PET",), ("GTV_Mass_MR_T1",)}


@settings(max_examples=400)
@given(st.sampled_from(DAMAGED), st.randoms(use_true_random=False))
def test_damaged_files(tmp_path_factory, name, random: random.Random):
    logging.disable(logging.CRITICAL)  # pydicom's, about what it reads
    raw = bytearray(Path(get_testdata_file(name)).read_bytes())
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(132, min(len(raw), 5000))
        if random.random() < 0.5:
            raw[place] = random.randrange(256)
        else:
            piece = random.choice(ELSEWHERE)
            raw[place : place + max(1, len(piece))] = piece
    path = tmp_path_factory.mktemp("damaged") / "x"
    path.write_bytes(raw)
    assert_judged([path])
    logging.disable(logging.NOTSET)


def test_the_header_may_be_longer_than_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(quick, "FIRST_BLOCK", 200)
    for name in ("CT_small.dcm", "rtplan.dcm", "MR_small_implicit.dcm"):
        assert assert_judged([Path(get_testdata_file(name))]) == 1
    monkeypatch.setattr(quick, "LARGEST", 200)
    assert QuickReader().read(Path(get_testdata_file("rtplan.dcm"))) is None


def test_what_left_with_the_file_before_does_not_stay(tmp_path):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.SeriesDescription, dataset.RescaleSlope = "Tête", "1e-3"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.save_as(tmp_path / "1")
    del dataset.SeriesDescription, dataset.Modality
    dataset.save_as(tmp_path / "2")
    dataset.SpecificCharacterSet, dataset.PatientID = "ISO_IR 100", "Müller"
    dataset.save_as(tmp_path / "3")
    del dataset.SpecificCharacterSet
    dataset.PatientID = "M"
    dataset.save_as(tmp_path / "4")
    assert assert_judged([tmp_path / name for name in "12341432"]) == 8
    assert QuickReader().read(tmp_path / "1").values["SeriesDescription"] == "Tête"


VARIED = {
    "SOPInstanceUID": ["1.2.3", "1.2.4", ""],
    "SeriesDescription": ["Head", " Head", "H\\e", "Tête", None, ""],
    "InstanceNumber": ["1", " 12 ", "+3", "", None, "1234567890"],
    "ImagePositionPatient": ["1\\2\\3", "-1.5\\2.25\\1e1", "1\\2", "", None, "0\\-0\\.5"],
    "SliceThickness": ["2", "2.50", " 1 ", "9007199254740993", "0.1000000000000000055", None],
    "SeriesInstanceUID": ["1.9", "1.9", "1.8"],
    "BitsStored": [12, 16],
}


def varied(path, choices):
    """A file of those values, as the text that they are in the file."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in choices.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, "" if isinstance(value, str) else value)
            if isinstance(value, str) and value:
                tag, vr = dataset[keyword].tag, dataset[keyword].VR
                raw = value.encode()
                dataset[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    dataset.save_as(path)
    return path


@settings(max_examples=30)
@given(st.lists(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in VARIED.items()}), min_size=2, max_size=6))
def test_files_of_a_run_have_their_own_values(tmp_path_factory, drawn):
    logging.disable(logging.CRITICAL)
    folder = tmp_path_factory.mktemp("run")
    paths = [varied(folder / str(number), choices) for number, choices in enumerate(drawn)]
    for path, header in zip(paths, QuickReader().read_all([str(path) for path in paths]), strict=True):
        if header is not None:
            judged = read_thoroughly(path)
            assert header == judged
            assert list(map(repr, sorted(header.values.items()))) == list(map(repr, sorted(judged.values.items())))
    logging.disable(logging.NOTSET)


def test_one_file_of_a_run_that_is_odd_or_cut_is_left_to_pydicom(tmp_path):
    usual = {"SOPInstanceUID": "1.2.3", "ImagePositionPatient": "1\\2\\3"}
    places = ["1\\2\\3", "1\\2\\x", "1\\2\\4", "1\\2\\5"]
    paths = [varied(tmp_path / str(n), {**usual, "ImagePositionPatient": place}) for n, place in enumerate(places)]
    paths[3].write_bytes(paths[3].read_bytes()[:-200])
    (found,) = QuickReader().read_runs([str(path) for path in paths])
    assert [numbers for numbers, _ in found.runs] == [[0, 2]]
    assert found.rest == [1, 3]
    assert found.runs[0][1].columns["ImagePositionPatient"] == [[1, 2, 3], [1, 2, 4]]


def explicit(group, number, vr, value, *, long=False):
    length = b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr + length + value


ODD_ELEMENTS = {
    "private creator and values": explicit(11, 0x10, b"LO", b"ME")
    + explicit(11, 0x1001, b"UN", b"\1\2\3\4", long=True),
    "private value of a VR of today": explicit(11, 0x1002, b"OV", bytes(8), long=True),
    "private sequence without a length": explicit(11, 0x1003, b"SQ", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
    "unknown without a length": explicit(11, 0x1004, b"UN", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff\xfe\xff\xdd\xe0\0\0\0\0",
    "a VR that no standard knows": explicit(11, 0x1005, b"ZZ", b"ab"),
    "a VR in small letters": explicit(11, 0x1006, b"lo", b"ab"),
    "no VR at all": b"\x0b\x00\x07\x10\x02\0\0\0ab",
    "length of a group": explicit(11, 0, b"UL", b"\4\0\0\0"),
    "a tag that comes again": explicit(8, 0x60, b"CS", b"MR"),
    "an odd length": explicit(11, 0x1008, b"LO", b"abc"),
}


@pytest.mark.parametrize("name", ODD_ELEMENTS)
def test_what_stands_between_the_values(tmp_path, name):
    """Private groups and odd VRs: read as pydicom does, or left to it, and never lost."""
    raw = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    place = raw.index(b"\x10\x00\x10\x00PN")
    path = tmp_path / "x"
    path.write_bytes(raw[:place] + ODD_ELEMENTS[name] + raw[place:])
    assert_judged([path])
    assert read_header(path) == read_thoroughly(path)
    if name.startswith(("private", "length")):
        assert QuickReader().read(path) is not None


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_sequences(tmp_path, undefined, implicit):
    """Of defined and undefined length, with a study's own instance UID that is no reference, names in two alphabets."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.SpecificCharacterSet, dataset.Modality = "ISO_IR 192", "RTSTRUCT"
    images = [_item(ReferencedSOPInstanceUID=f"1.2.3.{number % 3}") for number in range(5)]
    series = _item(SeriesInstanceUID="1.2.4", ContourImageSequence=Sequence(images))
    study = _item(ReferencedSOPInstanceUID="1.2.5", RTReferencedSeriesSequence=Sequence([series]))
    frame = _item(FrameOfReferenceUID="1.2.6", RTReferencedStudySequence=Sequence([study]))
    latin = _item(SpecificCharacterSet="ISO_IR 100", ROIName="Hüfte")
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    dataset.StructureSetROISequence = Sequence([_item(ROIName="Zunge-ß"), _item(ROINumber=2), latin])
    tracer = _item(RadionuclideTotalDose="3.7e8", RadionuclideHalfLife="6586.2")
    dataset.RadiopharmaceuticalInformationSequence = Sequence([tracer, _item(RadionuclideTotalDose="1")])
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    path = tmp_path / "x"
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert assert_judged([path]) == 1
    values = QuickReader().read(path).values
    assert values["ReferencedSOPInstanceUIDs"] == ["1.2.3.0", "1.2.3.1", "1.2.3.2"]
    assert values["ReferencedSeriesUIDs"] == ["1.2.4"]
    assert values["ReferencedFrameOfReferenceUIDs"] == ["1.2.6"]
    assert values["ROINames"] == ["Zunge-ß", "", "Hüfte"]
    assert (values["RadionuclideTotalDose"], values["RadionuclideHalfLife"]) == (3.7e8, 6586.2)


def _item(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "image_dfl.dcm", "rtstruct.dcm", "DICOMDIR", "README.txt"])
def test_what_is_unusual_is_left_to_pydicom(name):
    assert QuickReader().read(Path(get_testdata_file(name))) is None


def test_a_file_cut_short_is_left_to_pydicom(tmp_path):
    raw = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    for length in (0, 131, 140, 700, 3000, len(raw) - 2000):
        (tmp_path / "cut").write_bytes(raw[:length])
        assert QuickReader().read(tmp_path / "cut") is None


def test_no_such_file_and_no_file(tmp_path):
    assert QuickReader().read(tmp_path / "gone") is None
    assert QuickReader().read(tmp_path) is None


def test_hash_and_size():
    path = Path(get_testdata_file("CT_small.dcm"))
    raw = path.read_bytes()
    header = QuickReader().read(path)
    assert isinstance(header, InstanceHeader)
    assert header.size_bytes == len(raw)
    assert header.header_hash == hashlib.sha256(raw[: raw.index(b"\xe0\x7f\x10\x00OW")]).hexdigest()[:32]


def test_values_are_shared_from_file_to_file(realdata):
    paths = sorted((realdata / "sts" / "STS_001" / "CT" / "image").iterdir())[:2]
    reader = QuickReader()
    one, other = (reader.read(path).values for path in paths)
    assert one["PatientID"] is other["PatientID"]
    assert one["SOPInstanceUID"] != other["SOPInstanceUID"]
