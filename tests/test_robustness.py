"""The sound series have no finding, the judge of the page on robustness tells right from wrong; its table."""

from pathlib import Path

import numpy as np
import pytest

from medimagenet import index_directory

ROOT = Path(__file__).parents[1]


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import robustness

    return robustness


@pytest.mark.realdata
def test_sound_series_have_no_findings(realdata):
    rows = index_directory(realdata / "sts", jobs=1).rows()
    assert len(rows) == 66
    assert {row["uri"]: row["findings"] for row in rows if row["findings"]} == {}


def test_the_judge_sees_every_way_to_be_wrong(judge):
    volume = np.random.default_rng(0).integers(0, 1000, (4, 5, 6)).astype(np.int16)
    affine = np.diag([0.7, 0.8, 3.0, 1.0])
    affine[:3, 3] = -20, 30, -7
    corners = np.array([[0, 0], [5, 0], [0, 4]]) * [0.7, 0.8]
    frames = [
        judge.Frame(corners=np.c_[corners, np.full(3, 3.0 * z)] + affine[:3, 3], values=volume[z].astype(float))
        for z in range(4)
    ]

    def is_right(array, where=affine, factor_is_free=False):
        return judge._frames_in_place([(array, where)], frames, factor_is_free)

    flipped = affine.copy()
    flipped[2, 2], flipped[2, 3] = -3, affine[2, 3] + 9
    uneven = affine.copy()
    uneven[2, 2] = 3.2
    assert is_right(volume)
    assert is_right(volume[::-1], flipped)
    assert is_right(volume * 2.5, factor_is_free=True)
    assert not is_right(volume[::-1])
    assert not is_right(volume, uneven)
    assert not is_right(volume[:3])
    assert not is_right(volume + 1)
    assert not is_right(volume * 2.5)
    assert not is_right(np.concatenate([volume, volume[:1]]))
    assert not is_right(volume, affine @ np.diag([1, -1, 1, 1]))


def test_the_page_shows_none_of_ours_as_wrong():
    table = [line.split(" | ") for line in (ROOT / "docs" / "robustness.md").read_text().splitlines()]
    counts = next(line for line in table if line[0] == "| medimagenet")
    assert [line[0] for line in table if "wrong" in line[2:3] or "**wrong**" in line[2:3]] == ["| reader"]
    assert int(counts[1]) >= 101 and int(counts[2]) == 0
