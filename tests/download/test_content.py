"""Whether what arrived is the series: real DICOM files by pydicom, right and wrong."""

import pytest

from medimagenet.download.content import WrongContentError, check_content
from medimagenet.download.unpack import Member
from tests.download.conftest import make_instance

ROW = {"SeriesInstanceUID": "1.2.3", "SOPInstanceUID": None, "n_instances": 2, "file_format": None, "files": []}


@pytest.fixture
def member(tmp_path):
    """Function that gives a file with these bytes."""

    def make(name, body, *, verified=False):
        path = tmp_path / f"{len(list(tmp_path.iterdir())):08d}"
        path.write_bytes(body)
        return Member(path=path, name=name, size_bytes=len(body), checksum="sha256:0", verified=verified)

    return make


def ct(number, series="1.2.3"):
    return make_instance(series, number)


def test_files_that_came_alone_keep_their_names(member):
    content = check_content(ROW, [member("x.dcm", ct(1)), member("y.dcm", ct(2))], packed=False)
    assert [one.name for one in content.members] == ["x.dcm", "y.dcm"]
    assert (content.instances, content.notes) == (2, ())


def test_files_of_an_archive_are_called_by_their_instance(member):
    members = [member("LICENSE", b"CC BY"), member("1-001.dcm", ct(1)), member("deep/1-002", ct(2))]
    content = check_content(ROW, members, packed=True)
    assert [one.name for one in content.members] == ["1.2.3.1.dcm", "1.2.3.2.dcm", "1.2.3.LICENSE"]
    assert content.instances == 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((1,), "1 instances, its index says 2"), ((1, 2, 3), "3 instances, its index says 2"), ((1, 1), "both instance")],
)
def test_too_few_too_many_and_twice_the_same(member, numbers, message):
    members = [member(f"{place}.dcm", ct(number)) for place, number in enumerate(numbers)]
    with pytest.raises(WrongContentError, match=message):
        check_content(ROW, members, packed=False)


def test_a_file_of_another_series(member):
    with pytest.raises(WrongContentError, match=r"y is of series 1.2.4, 1.2.3 was asked for"):
        check_content(ROW, [member("x", ct(1)), member("y", ct(2, "1.2.4"))], packed=False)


def test_the_instance_that_the_index_names(member):
    row = ROW | {"n_instances": 1, "SOPInstanceUID": "1.2.3.1"}
    assert check_content(row, [member("x", ct(1))], packed=True).instances == 1
    with pytest.raises(WrongContentError, match=r"instance 1.2.3.2, 1.2.3.1 was asked for"):
        check_content(row, [member("x", ct(2))], packed=True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\0" * 1000, ct(2)[:-100], ct(2)[:200]])
def test_what_is_no_whole_dicom_is_refused_unless_it_is_what_the_archive_has(member, body):
    row = ROW | {"n_instances": 2}
    with pytest.raises(WrongContentError, match="y"):
        check_content(row, [member("x", ct(1)), member("y", body)], packed=False)
    content = check_content(row, [member("x", ct(1)), member("y", body, verified=True)], packed=False)
    assert content.instances == 2
    assert len(content.notes) == 1
    assert content.notes[0].endswith("its checksum is that of the archive, so it is kept")


def test_where_the_index_does_not_know_how_many(member):
    row = ROW | {"n_instances": 0}
    assert check_content(row, [member("x", ct(1))], packed=True).instances == 1
    with pytest.raises(WrongContentError, match="nothing that arrived is DICOM"):
        check_content(row, [member("LICENSE", b"words")], packed=True)


def test_files_of_other_formats_are_those_that_the_index_names(member):
    row = ROW | {"file_format": "nifti", "files": ["a/ct.nii.gz", "a/seg.nii.gz"]}
    members = [member("a/seg.nii.gz", b"2"), member("other", b"3"), member("a/ct.nii.gz", b"1")]
    content = check_content(row, members, packed=True)
    assert [one.name for one in content.members] == ["a/ct.nii.gz", "a/seg.nii.gz"]
    with pytest.raises(WrongContentError, match=r"lacks 1 of 2 files, such as a/seg.nii.gz"):
        check_content(row, members[2:], packed=True)
    assert check_content(row | {"files": []}, members, packed=True).instances == 3
