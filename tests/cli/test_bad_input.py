"""What bad input gets: a clear message, the exit code, and nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medimagenet import open_store
from medimagenet.synthetic import write_patients

SMALL = {"size": (24, 24, 8), "spacing": (14.0, 14.0, 28.0), "jobs": 1}


def recipe_with(folder, **changes):
    """A recipe file; None takes a key out."""
    values = {"name": "organs", "modalities": ["CT", "RTSTRUCT"], "rois": {"liver": ["liver"]}, **changes}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path


@pytest.fixture
def index(call, tmp_path):
    """Index patients with the given defects; the path of the index."""

    def make(*defects, patients=1):
        write_patients(tmp_path / "dicom", patients, defects=defects, **SMALL)
        assert call("index", tmp_path / "dicom", "-o", tmp_path / "x.parquet", "--jobs", 1).code == 0
        return tmp_path / "x.parquet"

    return make


def assert_failed(answer, *says):
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    for text in says:
        assert text in answer.err
    assert "SYN-" not in answer.err.replace("/SYN-", "")  # no patient's ID beyond the paths that the user has


@pytest.mark.parametrize("content", [{}, {"notes.txt": "hello", "image.jpg": "no image"}], ids=["empty", "no DICOM"])
def test_a_folder_without_dicom(call, tmp_path, content):
    (tmp_path / "dicom").mkdir()
    for name, text in content.items():
        (tmp_path / "dicom" / name).write_text(text)
    answer = call("index", tmp_path / "dicom", "-o", tmp_path / "x.parquet")
    assert_failed(answer, str(tmp_path / "dicom"))
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_a_folder_that_is_not_there(call, tmp_path):
    assert_failed(call("index", tmp_path / "dicom", "-o", tmp_path / "x.parquet"), "no folder")


def test_an_output_folder_that_is_not_there(call, tmp_path):
    write_patients(tmp_path / "dicom", 1, **SMALL)
    answer = call("index", tmp_path / "dicom", "-o", tmp_path / "a" / "x.parquet", "--jobs", 1)
    assert_failed(answer, "there is no folder")


def test_a_truncated_file_is_reported_and_its_series_left_out(call, index, tmp_path):
    table = index("truncated_file", patients=2)
    assert "truncated_file" in (tmp_path / "x.report.csv").read_text()
    answer = call("compile", table, "-r", recipe_with(tmp_path), "-o", tmp_path / "x.zarr", "--jobs", 1, "--json")
    assert answer.code == 0
    assert (answer.document["written"], answer.document["skipped"]) == (1, 1)


def test_a_missing_slice_skips_the_sample_with_the_reason(call, index, tmp_path):
    table = index("missing_slices", patients=2)
    answer = call("compile", table, "-r", recipe_with(tmp_path), "-o", tmp_path / "x.zarr", "--jobs", 1)
    assert answer.code == 0
    assert "1 sample written, 0 unchanged, 1 skipped" in answer.out
    assert "missing_slices" in answer.out
    assert "missing_slices" in (tmp_path / "x.zarr.report.csv").read_text()


def test_nothing_left_to_compile(call, index, tmp_path):
    answer = call(
        "compile", index("missing_slices"), "-r", recipe_with(tmp_path), "-o", tmp_path / "x.zarr", "--jobs", 1
    )
    assert_failed(answer, "none of 1 sample", "missing_slices", "x.zarr.report.csv")
    assert not (tmp_path / "x.zarr").exists()


def test_an_rtstruct_whose_ct_is_absent(call, tmp_path):
    write_patients(tmp_path / "dicom", 1, **SMALL)
    shutil.rmtree(tmp_path / "dicom" / "SYN-0001" / "CT")
    assert call("index", tmp_path / "dicom", "-o", tmp_path / "x.parquet", "--jobs", 1).code == 0
    listed = call("samples", tmp_path / "x.parquet", "--modalities", "CT,RTSTRUCT", "--missing")
    assert listed.code == 0
    assert "CT" in listed.out
    answer = call("compile", tmp_path / "x.parquet", "-r", recipe_with(tmp_path), "-o", tmp_path / "x.zarr")
    assert_failed(answer, "no sample has all of CT,RTSTRUCT")
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"spacings": [1, 1, 1]}, "spacings"),
        ({"rois": {"spleen": ["spleen"]}}, "no ROI of any of the 3 samples matches {'spleen': ['spleen']}"),
        ({"modalities": ["CT", "XX"]}, "XX"),
        ({"rois": {"liver": ["("]}}, "not a regular expression"),
    ],
    ids=["unknown key", "class that matches nothing", "unknown modality", "broken pattern"],
)
def test_a_wrong_recipe(call, chain, tmp_path, changes, says):
    says = says.replace("3 samples", "4 samples")
    answer = call("compile", chain.index, "-r", recipe_with(tmp_path, **changes), "-o", tmp_path / "y.zarr")
    assert_failed(answer, says)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_recipe_that_is_not_there(call, chain, tmp_path):
    answer = call("compile", chain.index, "-r", tmp_path / "none.yaml", "-o", tmp_path / "y.zarr")
    assert_failed(answer, "none.yaml")


@pytest.mark.parametrize("content", ["file", "folder", "other recipe"])
def test_an_output_path_that_exists(call, chain, tmp_path, content):
    out = tmp_path / "y.zarr"
    if content == "file":
        out.write_text("mine")
    elif content == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    else:
        shutil.copytree(chain.store, out)
    before = sorted(path.stat().st_mtime_ns for path in [out, *out.rglob("*")])
    answer = call("compile", chain.index, "-r", recipe_with(tmp_path), "-o", out, "--jobs", 1)
    assert_failed(answer, str(out), "choose another path")
    assert sorted(path.stat().st_mtime_ns for path in [out, *out.rglob("*")]) == before


def test_an_index_is_not_written_over_something_else(call, tmp_path):
    write_patients(tmp_path / "dicom", 1, **SMALL)
    (tmp_path / "x.parquet").write_text("mine")
    assert_failed(call("index", tmp_path / "dicom", "-o", tmp_path / "x.parquet", "--jobs", 1), "not overwritten")
    assert (tmp_path / "x.parquet").read_text() == "mine"


@pytest.mark.parametrize("command", ["inspect", "verify", "compile"])
def test_a_store_of_a_newer_format(call, chain, tmp_path, command):
    store = shutil.copytree(chain.store, tmp_path / "y.zarr")
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["medimagenet"]["format"] = 99
    (store / "zarr.json").write_text(json.dumps(root))
    arguments = {"compile": [chain.index, "-r", chain.recipe, "-o", store]}.get(command, [store])
    assert_failed(call(command, *arguments), "format 99", "reads format 1", "pip install --upgrade")


@pytest.mark.parametrize("command", ["samples", "compile", "inspect", "verify"])
@pytest.mark.parametrize("kind", ["absent", "folder", "text"])
def test_what_is_no_index_and_no_store(call, chain, tmp_path, command, kind):
    path = tmp_path / "thing"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    more = {"samples": ["--modalities", "CT"], "compile": ["-r", chain.recipe, "-o", tmp_path / "y.zarr"]}
    assert_failed(call(command, path, *more.get(command, [])), "thing")


@pytest.fixture
def tiny_disk(tmp_path):
    """Run a command where tmp_path/disk is a disk of so many kB: (code, stderr, what is left on it)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size="$0"k tmpfs "$1"'
    unshared = ["unshare", "-rm", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*unshared, mount, "64", disk], check=False).returncode:
        pytest.skip("a disk of its own needs user namespaces (unshare -rm), which this system does not allow")

    def run(size_kb, *arguments):
        script = (
            f'{mount} && shift && "$@"; code=$?; ls -A "$DISK" | sed "s/^/left: /" >&2; '
            'find "$DISK" -name "*.json" -size 0 >&2; exit $code'
        )
        program = [sys.executable, "-c", "from medimagenet.cli.main import run; run()", *map(str, arguments)]
        answer = subprocess.run(
            [*unshared, script, str(size_kb), disk, *program],
            capture_output=True,
            text=True,
            env={**os.environ, "DISK": str(disk)},
            check=False,
        )
        lines = answer.stderr.splitlines()
        left = [line.removeprefix("left: ") for line in lines if line.startswith("left: ")]
        return answer.returncode, "\n".join(line for line in lines if not line.startswith("left: ")), left

    run.disk = disk
    return run


def test_a_full_disk_while_indexing(chain, tiny_disk):
    arguments = ("index", chain.folder / "dicom", "-o", tiny_disk.disk / "x.parquet", "--jobs", 1)
    code, errors, left = tiny_disk(8, *arguments)
    assert (code, left) == (1, [])
    assert "o space left on device" in errors
    assert errors.startswith("error: ") and len(errors.splitlines()) == 1


@pytest.mark.parametrize("size_kb", [16, 60])
def test_a_full_disk_while_compiling(chain, tiny_disk, size_kb):
    out = tiny_disk.disk / "y.zarr"
    code, errors, left = tiny_disk(size_kb, "compile", chain.index, "-r", chain.recipe, "-o", out, "--jobs", 1)
    assert code == 1
    assert "o space left on device" in errors or "full" in errors
    assert errors.startswith("error: ") and len(errors.splitlines()) == 1
    assert [name for name in left if name not in ("y.zarr", "y.zarr.report.csv")] == []


def test_a_full_disk_while_drawing(chain, tiny_disk):
    code, errors, left = tiny_disk(4, "inspect", chain.store, "--plot", tiny_disk.disk / "p.png")
    assert (code, left) == (1, [])
    assert "o space left on device" in errors
    assert errors.startswith("error: ") and len(errors.splitlines()) == 1


def test_a_folder_that_cannot_be_written(call, chain, tmp_path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "y.zarr"
    assert_failed(call("compile", chain.index, "-r", chain.recipe, "-o", out, "--jobs", 1), str(Path("file")))
    assert_failed(call("inspect", chain.store, "--plot", tmp_path / "file" / "p.png"), "file")
    assert len(open_store(chain.store)) == 3
