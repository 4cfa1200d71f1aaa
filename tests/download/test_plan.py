"""Plans: what would be fetched, and that nothing is asked for or written meanwhile."""

import pytest

from medimagenet import Index
from medimagenet.download import download, plan_download
from medimagenet.errors import SourceError
from tests.download.conftest import QUICK


def test_what_a_download_would_do(cloud, server, tmp_path):
    cloud.add(3, license="CC BY-NC 3.0", collection_id="other")
    cloud.add(4, source="folder", uri="/data/x", files=("a.dcm",))
    plan = plan_download(cloud.index, tmp_path / "x")
    wanted = cloud.records[:3]
    assert [one.row["key"] for one in plan.series] == [record.key for record in wanted]
    assert (plan.files, plan.size_bytes) == (9, sum(record.size_bytes for record in wanted))
    assert (plan.complete, plan.local, plan.fits) == (0, 1, True)
    assert plan.collections == {"lung": 2, "other": 1}
    assert plan.sources == {"idc": 3}
    assert [(one.license, one.series) for one in plan.terms] == [("CC BY-NC 3.0", 1), ("CC BY 4.0", 2)]
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_counted_and_the_plan_changes_nothing(cloud, server, tmp_path):
    download(cloud.index, tmp_path, limits=QUICK)
    cloud.add(3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    plan = plan_download(cloud.index, tmp_path)
    assert ([one.row["key"] for one in plan.series], plan.complete) == ([cloud.records[2].key], 2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_series_twice_in_a_selection_is_fetched_once(cloud, tmp_path):
    cloud.records *= 2
    assert len(plan_download(cloud.index, tmp_path).series) == 2


def test_two_contents_of_a_series_do_not_share_a_folder(cloud, tmp_path):
    uid = cloud.records[0].SeriesInstanceUID
    cloud.records[1] = cloud.changed(cloud.records[1], SeriesInstanceUID=uid)
    folders = [one.folder for one in plan_download(cloud.index, tmp_path).series]
    assert folders[1].startswith(folders[0] + "_")
    reverse = Index.from_records(cloud.records[::-1])
    assert len({one.folder for one in plan_download(reverse, tmp_path).series}) == 2


def test_an_unknown_source_and_a_wrong_template(cloud, tmp_path):
    with pytest.raises(ValueError, match="no variable"):
        plan_download(cloud.index, tmp_path, template="%Patient")
    cloud.add(3, source="nowhere")
    with pytest.raises(SourceError, match="no source 'nowhere'"):
        plan_download(cloud.index, tmp_path)


def test_nothing_selected_is_an_empty_plan(tmp_path):
    plan = plan_download(Index.from_records([]), tmp_path)
    assert (plan.series, plan.files, plan.size_bytes, plan.fits, plan.terms) == ((), 0, 0, True, ())
