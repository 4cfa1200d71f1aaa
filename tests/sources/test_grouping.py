"""Which files are one row. The law: every file is in one group or is a duplicate of one that is, and no group has a
SOPInstanceUID twice."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.header_scan import InstanceHeader
from medimagenet.sources.grouping import group_headers


def names(groups, root):
    return sorted(sorted(header.path.relative_to(root).as_posix() for header in group.headers) for group in groups)


@pytest.fixture
def grouped(tmp_path):
    return lambda headers: names(group_headers(headers), tmp_path)


def test_one_series_spread_over_folders_is_one(make_header, grouped):
    headers = [make_header(f"{folder}/{n}", f"1.3.{folder}{n}") for folder in (1, 2, 3) for n in range(2)]
    assert grouped(headers) == [["1/0", "1/1", "2/0", "2/1", "3/0", "3/1"]]


def test_copies_in_two_trees_are_two_and_each_stays_whole(make_header, grouped):
    headers = [make_header(f"{tree}/{folder}/0", f"1.3.{folder}") for tree in "ab" for folder in "12"]
    assert grouped(headers) == [["a/1/0", "a/2/0"], ["b/1/0", "b/2/0"]]


def test_equal_bytes_in_two_trees_are_no_duplicates(tmp_path, make_header):
    for tree in "ab":
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "0").write_bytes(b"same")
    groups = group_headers(make_header(f"{tree}/0", "1.3.0", header_hash="h") for tree in "ab")
    assert names(groups, tmp_path) == [["a/0"], ["b/0"]]
    assert [group.duplicates for group in groups] == [(), ()]


def test_only_the_folder_that_repeats_is_parted(make_header, grouped):
    headers = [make_header(f"a/{n}", f"1.3.{n}") for n in range(3)]
    headers += [make_header("b/x", "1.3.7"), make_header("c/1/x", "1.3.8"), make_header("c/2/x", "1.3.8")]
    assert grouped(headers) == [["a/0", "a/1", "a/2", "b/x"], ["c/1/x"], ["c/2/x"]]


def test_files_sent_again_into_a_folder_below(make_header, grouped):
    headers = [make_header(f"pt/{n}", f"1.3.{n}") for n in range(3)] + [make_header("pt/again/1", "1.3.1")]
    assert grouped(headers) == [["pt/0", "pt/1", "pt/2"], ["pt/again/1"]]


def test_folders_with_other_series_numbers_are_apart(make_header, grouped):
    headers = [make_header(f"{folder}/0", f"1.3.{folder}", SeriesNumber=folder % 2) for folder in (1, 2, 3)]
    assert grouped(headers) == [["1/0", "3/0"], ["2/0"]]


def test_other_series_numbers_in_one_folder_stay(make_header, grouped):
    assert grouped([make_header(str(n), f"1.3.{n}", SeriesNumber=n) for n in range(2)]) == [["0", "1"]]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SeriesInstanceUID", "1.4"), ("PatientID", "q"), ("Modality", "PT"), ("TransferSyntaxUID", "1.2.5")],
)
def test_what_parts_files_of_one_folder(make_header, grouped, keyword, value):
    assert grouped([make_header("0", "1.3.0"), make_header("1", "1.3.1", **{keyword: value})]) == [["0"], ["1"]]


def test_two_contents_of_one_instance(make_header, grouped):
    headers = [make_header(f"{n}", f"1.3.{n}") for n in range(3)] + [make_header("other 1", "1.3.1")]
    assert grouped(headers) == [["0", "1", "2"], ["other 1"]]


def test_objects_are_groups_by_themselves(make_header, grouped):
    headers = [make_header(name, f"1.3.{name}", Modality="RTSTRUCT") for name in ("1", "2")]
    assert grouped(headers) == [["1"], ["2"]]


def test_files_without_instance_uid_are_kept(make_header, grouped):
    headers = [make_header(name, "") for name in ("a/1", "b/2")]
    assert grouped(headers) == [["a/1", "b/2"]]


@pytest.mark.parametrize("modality", ["CT", "RTSTRUCT"])
def test_equal_bytes_are_kept_once(tmp_path, make_header, modality):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"same" if name != "c" else b"else")  # the header is, the pixels are not
    headers = [make_header(name, "1.3.1", header_hash="h", Modality=modality) for name in ("a", "b", "c")]
    first, second = group_headers(headers)
    assert [header.path.name for header in (*first.headers, *second.headers)] == ["a", "c"]
    assert [(item.path.name, item.kept.name) for item in first.duplicates] == [("b", "a")]
    assert second.duplicates == ()


files = st.lists(
    st.tuples(st.sampled_from(["", "a", "a/x", "a/y", "b", "b/x/u"]), st.integers(0, 4), st.sampled_from("12")),
    min_size=1,
    max_size=25,
)


@given(files)
def test_every_file_is_in_one_group_and_no_group_has_an_instance_twice(tmp_path_factory, drawn):
    root = tmp_path_factory.getbasetemp()
    headers = [
        InstanceHeader(
            file=str(root / folder / f"{number}"),
            size_bytes=1,
            header_hash=str(number),
            has_pixels=True,
            values={"SeriesInstanceUID": "1.2", "SOPInstanceUID": f"1.3.{sop}", "SeriesNumber": series},
        )
        for number, (folder, sop, series) in enumerate(drawn)
    ]
    groups = group_headers(headers)
    assert sorted(h.path for group in groups for h in group.headers) == sorted(h.path for h in headers)
    for group in groups:
        assert max(Counter(header.sop_instance_uid for header in group.headers).values()) == 1
    assert group_headers(headers[::-1]) == groups
