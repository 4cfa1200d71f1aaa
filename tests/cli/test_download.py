"""`medimagenet download`, against a server on loopback."""

import json

import pytest

from medimagenet import Index
from medimagenet.sources import http
from tests.download.conftest import QUICK, Cloud, tree
from tests.download.object_server import Fault, ObjectServer


def told(answer):
    """Exit code, stdout and stderr."""
    return answer.code, answer.out, answer.err


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Two series, one of them non-commercial, as an index file: (cloud, server, its path)."""
    monkeypatch.setattr(http, "_gates", {})
    monkeypatch.setitem(http.LIMITS, "idc", QUICK)
    cloud = Cloud()
    cloud.add(1)
    cloud.add(2, license="CC BY-NC 3.0", Modality="MR", collection_id="brain")
    path = tmp_path / "asked.parquet"
    cloud.index.write(path)
    with ObjectServer(cloud.objects) as server:
        monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", server.url)
        yield cloud, server, path


def test_a_dry_run_says_all_and_does_nothing(call, asked, tmp_path):
    _, server, path = asked
    code, out, _ = told(call("download", path, "--to", tmp_path / "x", "--dry-run"))
    assert code == 0
    assert "2 series to fetch, 6 files" in out
    assert 'needed: --accept-license "CC BY-NC 3.0"' in out
    code, out, _ = told(call("download", path, "--to", tmp_path / "x", "--dry-run", "--json"))
    plan = json.loads(out)
    assert (plan["series"], plan["files"], plan["to_accept"], plan["fits"]) == (2, 6, ["CC BY-NC 3.0"], True)
    assert server.asked == []
    assert not (tmp_path / "x").exists()


def test_a_licence_that_has_to_be_accepted(call, asked, tmp_path):
    _, server, path = asked
    code, out, errors = told(call("download", path, "--to", tmp_path / "x"))
    assert (code, out, server.asked) == (1, "", [])
    assert '--accept-license "CC BY-NC 3.0"' in errors
    code, out, errors = told(
        call("download", path, "--to", tmp_path / "x", "--accept-license", "CC BY-NC 3.0", "--json")
    )
    report = json.loads(out)
    assert (code, report["fetched"], report["failed"]) == (0, 2, [])
    assert len(tree(tmp_path / "x")) == 6
    assert "under CC BY-NC 3.0: commercial use not allowed" in errors


def test_filters_template_and_the_next_run(call, asked, tmp_path):
    _, server, path = asked
    arguments = ("download", path, "--to", tmp_path / "x", "--modality", "CT", "--template", "%PatientID/%Modality")
    code, out, _ = told(call(*arguments))
    assert code == 0
    assert "1 series downloaded" in out
    assert sorted(tree(tmp_path / "x")) == [f"P1/CT/{number:04d}.dcm" for number in range(3)]
    assert len(Index.read(tmp_path / "x" / "index.parquet")) == 1
    number = len(server.asked)
    code, out, _ = told(call(*arguments))
    assert (code, len(server.asked)) == (0, number)
    assert "0 series downloaded" in out
    assert "1 there before" in out


def test_lists_are_looked_up_in_the_index_beside_them(call, asked, tmp_path):
    cloud, _, path = asked
    (tmp_path / "m.s5cmd").write_text(f"cp {cloud.records[0].uri}* .\n")
    code, out, _ = told(call("download", tmp_path / "m.s5cmd", path, "--to", tmp_path / "x", "--json"))
    assert (code, json.loads(out)["fetched"]) == (0, 1)


def test_what_cannot_be_had_is_told_and_exits_with_1(call, asked, tmp_path):
    cloud, server, path = asked
    server.fail(next(iter(cloud.objects)), *[Fault(status=404)] * 9)
    code, out, _ = told(call("download", path, "--to", tmp_path / "x", "--modality", "CT"))
    assert code == 1
    assert "answered 404" in out
    assert "run the same command again" in out
    server.faults.clear()
    assert told(call("download", path, "--to", tmp_path / "x", "--modality", "CT"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to download"),
        (("--collection", "brian"), "brain"),
        (("--template", "%Nope"), "no variable"),
        (("--jobs", "0"), "--jobs"),
    ],
)
def test_wrong_usage(call, asked, tmp_path, arguments, message):
    _, _, path = asked
    selection = [path] if arguments else []
    code, out, errors = told(call("download", *selection, "--to", tmp_path / "x", *arguments))
    assert (code, out) == (2, "")
    assert message in errors


@pytest.mark.parametrize("name", ["m.tcia", "m.csv", "x.parquet"])
def test_a_selection_that_is_not_there(call, asked, tmp_path, name):
    code, out, errors = told(call("download", tmp_path / name, asked[2], "--to", tmp_path / "x"))
    assert (code, out) == (1, "")
    assert name in errors
