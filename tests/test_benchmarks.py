"""The benchmarks' own arithmetic, and that the page of figures is what its command makes of the results."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COLUMNS = {"area", "work", "who", "value", "unit", "ratio", "goal", "met"}
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_a_ratio_is_how_many_times_ours():
    from benchmarks import rows

    ours, peer = rows.compare("scan", "index x: time", {"medimagenet": 2.0, "slow": 9.0}, "s", 3.0)
    assert (ours["ratio"], ours["goal"], ours["met"]) == (1.0, None, None)
    assert (peer["ratio"], peer["goal"], peer["met"]) == (4.5, 3.0, True)
    assert not rows.compare("scan", "", {"medimagenet": 2.0, "fast": 1.0}, "s", 1.0)[1]["met"]
    assert set(peer) == COLUMNS


def test_memory_is_that_of_the_whole_tree():
    from benchmarks import measure

    block = "block = bytearray(60 << 20)"
    held = f"{block}; import time; time.sleep(1)"
    parent = f"{block}; import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    alone = measure.peak_memory(measure.Contender(who="", command=[sys.executable, "-c", held]))
    tree = measure.peak_memory(measure.Contender(who="", command=[sys.executable, "-c", parent]))
    assert 60 << 20 < alone < 90 << 20
    assert 120 << 20 < tree < 160 << 20


def test_time_is_wall_time_without_the_preparation():
    from benchmarks import measure

    contender = measure.Contender(
        who="", command=[sys.executable, "-c", "import time; time.sleep(0.5)"], prepare=lambda: time.sleep(1)
    )
    assert 0.5 < measure.run(contender) < 1.4


def test_a_program_that_fails_ends_the_benchmark():
    from benchmarks import measure

    with pytest.raises(SystemExit, match=r"peer failed \(3\)"):
        measure.run(measure.Contender(who="peer", command=[sys.executable, "-c", "raise SystemExit(3)"]))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_name_no_place_and_say_what_they_are(path):
    document = json.loads(path.read_text())
    assert {"area", "command", "machine", "versions", "notes", "rows"} == set(document)
    assert all(set(row) == COLUMNS for row in document["rows"])
    assert "/" not in document["command"]


def test_the_page_is_made_from_the_results(tmp_path):
    page = ROOT / "docs" / "benchmarks.md"
    program = (
        "from pathlib import Path; from benchmarks import report; "
        f"report.PAGE, report.IMAGES = Path({str(tmp_path)!r}) / 'page.md', Path({str(tmp_path)!r}); report.main()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    assert (tmp_path / "page.md").read_text() == page.read_text()


def test_without_a_gpu_its_benchmark_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    from benchmarks import gpu

    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--json", str(tmp_path / "gpu.json")])
    gpu.main()
    assert "nothing measured" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_cache_of_a_peer_holds_voxels(tmp_path):
    """MONAI keeps what its own kind of transform made, and of any other nothing: a peer would be measured without."""
    import numpy as np

    from benchmarks import loading_monai

    for k in range(2):
        np.save(tmp_path / f"{k}.image.npy", np.zeros((20, 20, 20), np.float32))
        np.save(tmp_path / f"{k}.label.npy", np.eye(20, dtype=np.uint8)[None].repeat(20, 0))
    settings = [(name, 1, 0) for name in loading_monai.CACHES]
    runs = loading_monai.monai(tmp_path, 8, settings)
    assert [next(run()) for run in runs.values()] == [2] * 4
    item = loading_monai.CACHES["MONAI CacheDataset, indices cached"](tmp_path)[0]
    assert {name: value.dtype.itemsize for name, value in item.items()} == {
        "image": 4,
        "label": 1,
        "label_fg_indices": 8,
        "label_bg_indices": 8,
    }
    assert len(list((tmp_path / "monai").iterdir())) == 2
