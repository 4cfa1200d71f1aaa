"""What is packed comes out as it went in, and only what is surely unchanged is not read again."""

import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medimagenet.dicom.header_run import HeaderRun
from medimagenet.sources import Folder, inventory
from medimagenet.sources.inventory import Inventory

LONG_AGO = 1_000_000_000_000_000_000  # ns: 2001


def scan(folder, before=None):
    return Folder(folder).scan(jobs=1, before=before)


def saved(found, path):
    """The inventory of a scan, written and read again."""
    found.inventory.write(path)
    return Inventory.read(path, found.inventory.root)


def age(folder):
    """As if all files were old: those of the last two seconds are always read again."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


@pytest.fixture
def folder(tmp_path, write_slice):
    """Two series of three slices and a file that is no DICOM."""
    for n in range(6):
        write_slice(tmp_path / "in" / f"{n % 2}" / f"{n}", f"1.3.{n}", float(n), SeriesInstanceUID=f"1.{n % 2}")
    (tmp_path / "in" / "notes.txt").write_text("notes")
    age(tmp_path / "in")
    return tmp_path / "in"


def same(one, other):
    assert one.records == other.records
    assert one.problems == other.problems


@pytest.mark.parametrize("n_open", [1, 50, 100_000])
def test_real_headers_survive_packing(realdata, tmp_path, monkeypatch, n_open):
    monkeypatch.setattr(inventory, "_OPEN_FILES", n_open)
    folder = realdata / "oddities"
    found = scan(folder)
    back = saved(found, tmp_path / "x.parquet")
    assert back.series_uids() == found.inventory.series_uids()
    assert len(back) == len(found.inventory) > 300
    for uid in back.series_uids():
        headers = {header.path: header for header in scan_plainly(folder, uid)}
        assert {header.path: header for header in back.headers(uid)} == headers
    assert sorted(map(str, back.others())) == sorted(map(str, found.inventory.others()))


_headers: dict = {}


def scan_plainly(folder, uid):
    """Headers of a series by the scan alone."""
    from medimagenet.dicom.header_scan import InstanceHeader
    from medimagenet.dicom.header_scan import scan as read

    if folder not in _headers:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        _headers[folder] = [header for header in read(paths, jobs=1) if isinstance(header, InstanceHeader)]
    return [header for header in _headers[folder] if header.series_uid == uid]


@pytest.mark.parametrize("n_open", [1, 2, 100_000])
def test_packing_early_changes_nothing(folder, monkeypatch, n_open):
    plain = scan(folder)
    monkeypatch.setattr(inventory, "_OPEN_FILES", n_open)
    same(scan(folder), plain)


def test_what_is_unchanged_is_not_read(folder, tmp_path):
    before = scan(folder)
    memory = saved(before, tmp_path / "x.parquet")
    for path in folder.rglob("*"):
        if path.is_file():  # other bytes, of the same size and time: whoever read them would fail
            path.write_bytes(bytes(path.stat().st_size))
    age(folder)
    again = scan(folder, memory)
    same(again, before)
    assert (again.inventory.n_read, again.inventory.n_kept, again.inventory.n_gone) == (0, 7, 0)


def test_what_is_new_changed_or_gone(folder, tmp_path, write_slice):
    memory = saved(scan(folder), tmp_path / "x.parquet")
    write_slice(folder / "0" / "new", "1.3.9", 6.0, SeriesInstanceUID="1.0")
    write_slice(folder / "1" / "3", "1.3.3", 3.5, SeriesInstanceUID="1.1")
    (folder / "0" / "2").unlink()
    (folder / "notes.txt").write_text("other notes")
    again = scan(folder, memory)
    same(again, scan(folder))
    assert (again.inventory.n_read, again.inventory.n_kept, again.inventory.n_gone) == (3, 4, 1)


def test_a_file_changed_just_before_it_was_read_is_read_again(folder, tmp_path):
    path = folder / "0" / "2"
    os.utime(path)
    memory = saved(scan(folder), tmp_path / "x.parquet")
    again = scan(folder, memory)
    assert (again.inventory.n_read, again.inventory.n_kept) == (1, 6)


def test_a_cut_file_stays_known(folder, tmp_path):
    path = folder / "0" / "2"
    path.write_bytes(path.read_bytes()[:-10])
    age(folder)
    before = scan(folder)
    again = scan(folder, saved(before, tmp_path / "x.parquet"))
    same(again, before)
    assert again.inventory.n_read == 0
    assert any(finding.code == "truncated_file" for record in again.records for finding in record.findings)


def test_another_folder_or_scan_or_damage_is_not_trusted(folder, tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    found = scan(folder)
    assert saved(found, path) is not None
    assert Inventory.read(path, Path("/elsewhere")) is None
    assert Inventory.read(tmp_path / "absent", folder) is None
    with monkeypatch.context() as patch:
        patch.setattr(inventory, "SCAN_KEYWORDS", (*inventory.SCAN_KEYWORDS, "Another"))
        assert Inventory.read(path, folder) is None
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert Inventory.read(path, folder) is None


def test_a_flipped_byte_is_found_or_does_no_harm(folder, tmp_path):
    path = tmp_path / "x.parquet"
    plain = scan(folder)
    plain.inventory.write(path)
    whole = path.read_bytes()
    refused = 0
    for place in range(4, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        memory = Inventory.read(path, folder)
        refused += memory is None
        same(scan(folder, memory), plain)
    assert refused > 10
    for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        Inventory.read(path, folder)  # names and types are below no checksum: wrong ones must not raise


def test_the_file_has_a_row_per_series_and_folder(folder, tmp_path):
    scan(folder).inventory.write(tmp_path / "x.parquet")
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [(row["series_uid"], row["folder"], row["n_files"]) for row in rows] == [
        ("", ".", 1),
        ("1.0", "0", 3),
        ("1.1", "1", 3),
    ]


def test_a_header_that_lacks_what_others_have(tmp_path, make_header):
    """Two runs of a folder become one, which comes out as both went in."""
    headers = [
        replace(header, header_hash=f"{n:032d}")
        for n, header in enumerate(
            [make_header("0", "1.3", SeriesNumber="1"), make_header("1", "1.4"), make_header("2", "1.5", Rows=3)]
        )
    ]
    held = Inventory(tmp_path)
    held.add_headers(str(tmp_path), HeaderRun.of(headers[:2]), [1, 1])
    held.add_headers(str(tmp_path), HeaderRun.of(headers[2:]), [1])
    held.write(tmp_path / "x.parquet")
    assert list(held.headers("1.2")) == headers
    assert list(Inventory.read(tmp_path / "x.parquet", tmp_path).headers("1.2")) == headers
