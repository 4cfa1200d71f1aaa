"""Pictures of counts: what is drawn, and that nothing is left out."""

import numpy as np
import pytest
from matplotlib.image import imread

from medimagenet.index import Index, list_collections, open_index, plot_collections, plot_stats, plots
from medimagenet.viz import bars


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the last picture."""
    seen = {}

    def write(path, panels, **settings):
        seen.update({panel.title.split(" (")[0]: panel.bars for panel in panels})
        bars.write_bars(path, panels, **settings)

    monkeypatch.setattr(plots, "write_bars", write)
    return seen


def test_stats(small_idc, drawn, tmp_path):
    stats = open_index().stats()
    plot_stats(stats, tmp_path / "x.png")
    image = imread(tmp_path / "x.png")
    assert image.shape[1] == 4 * bars.WIDTH
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 10
    assert sum(bar.value for bar in drawn["series by modality"]) == stats.series
    assert sum(bar.value for bar in drawn["size by modality"]) == stats.size_bytes
    assert {bar.name: bar.value for bar in drawn["patients by modality"]} == {
        item.modality: item.patients for item in stats.modalities
    }
    assert [bar.marked for bar in drawn["series by licence"]] == [not item.commercial for item in stats.licenses]


def test_the_rest_of_many_collections_is_one_bar(drawn, make_record, tmp_path):
    records = [
        make_record(f"k{n}", "CT", f"1.{n}", collection_id=f"c{n:02d}", size_bytes=1000 * (n + 1)) for n in range(30)
    ]
    plot_collections(list_collections(Index.from_records(records)), tmp_path / "x.png")
    size = drawn["size"]
    assert [bar.name for bar in size[:2]] == ["c29", "c28"]
    assert size[-1].name == "5 others"
    assert sum(bar.value for bar in size) == sum(record.size_bytes for record in records)
    assert size[-1].text == "15 kB"
    assert all(bar.marked for bar in size)  # without a licence nothing is known to be allowed


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw: no series were found"):
        plot_stats(Index.from_records([]).stats(), tmp_path / "x.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_collections([], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
