"""`medimagenet update` against a server on loopback."""

import csv

import pytest

from medimagenet.index import open_index
from medimagenet.sources.http import LIMITS, Limits
from medimagenet.sources.idc_versions import index_dir


@pytest.fixture
def newer(small_idc, idc_server, idc_tables, idc_release):
    """25.0.5 is installed; 25.1.0, without one collection and with all tables, is current; 24.0.0 is there too."""
    table = idc_tables["idc_index"]
    main = {"idc_index": table.filter(idc_release.is_not(table, "rider_lung_ct"))}
    idc_server.release("25.1.0", idc_tables | main)
    idc_server.release("24.0.0", {name: idc_tables[name] for name in idc_release.MAIN}, current=False)
    return idc_server


def test_check_says_what_is_newer(call, newer):
    assert call("update", "--check", "--json").document == {
        "version": "25.0.5",
        "available": "25.1.0",
        "here": False,
        "missing": [
            *("rtstruct_index", "seg_index", "volume_geometry_index", "ct_index", "mr_index", "pt_index"),
            "clinical_index",
        ],
    }
    answer = call("update", "--check")
    assert "opened: 25.0.5; published: 25.1.0, which is not here" in answer.out
    assert "next: medimagenet update" in answer.out
    assert not index_dir().exists()


def test_update_says_what_differs(call, newer, idc_tables, tmp_path):
    before = len(open_index())
    answer = call("update", "--changes", tmp_path / "y.csv")
    assert answer.code == 0, answer.err
    gone = sum(name == "rider_lung_ct" for name in idc_tables["idc_index"]["collection_id"].to_pylist())
    assert f"from 25.0.5 to 25.1.0: series 0 new, 0 revised, {gone} withdrawn" in answer.out
    assert "opened from now on: 25.1.0; " in answer.out
    assert len(open_index()) == before - gone
    assert len(list(csv.DictReader((tmp_path / "y.csv").open()))) == gone
    again = call("update", "--json").document
    assert (again["fetched"], again["changes"], again["opened"]) == ([], None, "25.1.0")
    assert len(again["side_indices"]) == 7
    cohort = call("cohort", "--modalities", "CT,RTSTRUCT", "--json").document
    assert cohort["samples"] > 0
    assert cohort["unknown"] == []


def test_side_indices_by_name(call, newer):
    assert call("update", "--side", "pt_index", "--json").document["side_indices"] == ["pt_index"]
    answer = call("update", "--side", "pet_index")
    assert (answer.code, answer.out) == (2, "")
    assert "unknown side index 'pet_index': did you mean 'pt_index'" in answer.err


def test_pin_list_unpin_remove(call, newer):
    pinned = call("update", "--pin", "24", "--no-side", "--json").document
    assert (pinned["version"], pinned["opened"]) == ("24.0.0", "24.0.0")
    call("update", "--no-side")
    newer.folder.rename(newer.folder.with_name("gone"))  # what follows needs no server
    listed = call("update", "--list", "--json").document["versions"]
    assert [(one["version"], one["opened"], one["pinned"], one["installed"]) for one in listed] == [
        ("25.1.0", False, False, False),
        ("25.0.5", False, False, True),
        ("24.0.0", True, True, False),
    ]
    assert "opened, pinned" in call("update", "--list").out
    answer = call("update", "--remove", "24")
    assert (answer.code, answer.out) == (2, "")
    assert "24.0.0 is pinned: unpin it first" in answer.err
    assert call("update", "--unpin", "--json").document == {"opened": "25.1.0"}
    assert call("update", "--remove", "24", "--json").document == {"removed": "24.0.0"}
    assert call("update", "--pin", "25.0", "--no-side", "--json").document["opened"] == "25.0.5"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["9.9.9"], 1, "publishes no version 9.9.9 of its index"),
        (["latest"], 1, "a version is such as 25 or 25.0.5, got 'latest'"),
        (["--remove", "9"], 2, "version '9' is not here: 25.0.5 are"),
        (["--list", "--unpin"], 2, "ask one thing at a time"),
        (["25", "--pin", "24"], 2, "ask one thing at a time"),
    ],
)
def test_bad_input(call, newer, arguments, code, says):
    answer = call("update", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err
    assert len(open_index()) > 0


def test_without_a_network(call, small_idc, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_IDC_INDEX_URL", "http://127.0.0.1:9")
    monkeypatch.setitem(LIMITS, "idc", Limits(attempts=2, backoff_s=0.0))
    answer = call("update")
    assert (answer.code, answer.out) == (1, "")
    assert "no answer from http://127.0.0.1:9/current" in answer.err
    assert call("search", "--limit", 1, "--json").code == 0
