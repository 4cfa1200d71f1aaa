"""Which versions of the index are here, which one is opened, and what removing one leaves."""

import json

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources import idc_versions
from medimagenet.sources.idc import database_path, public_database
from medimagenet.sources.idc_versions import (
    current_version,
    find_version,
    index_dir,
    is_version,
    pin_version,
    pinned_version,
    remove_version,
    sort_key,
    version_dir,
    versions_here,
)


@pytest.fixture
def fetched(small_idc, idc_release, idc_tables):
    """Function that puts a version, or side indices of one, where fetched ones are."""

    def fetch(version, *tables):
        names = tables or idc_release.MAIN
        folder = version_dir(version)
        idc_release.write_tables(folder, {name: idc_tables[name] for name in names}, version)
        entries = {name: {"sha256": (folder / f"{name}.parquet.sha256").read_text().split()[0]} for name in names}
        idc_versions.write_json_whole(folder / "tables.json", {"version": version, "tables": entries})
        return find_version(version)

    return fetch


def test_the_installed_one_alone(small_idc):
    (one,) = versions_here()
    assert (one.version, one.installed, one.side_indices, one.size_bytes) == ("25.0.5", True, (), 0)
    assert one.files["idc_index"] == small_idc / "idc_index.parquet"
    assert current_version() == one
    assert one.label == "25.0.5"


def test_the_newest_is_opened(fetched):
    for version in ("9.1.0", "25.0.10", "24.3.3"):
        fetched(version)
    assert [one.version for one in versions_here()] == ["25.0.10", "25.0.5", "24.3.3", "9.1.0"]
    assert current_version().version == "25.0.10"
    assert find_version("24").version == "24.3.3"
    assert find_version("2") is None
    assert find_version("24.3").files["idc_index"] == version_dir("24.3.3") / "idc_index.parquet"


def test_a_pinned_one_is_opened(fetched, tmp_path):
    fetched("26.0.0")
    old = fetched("24.0.0")
    pin_version(old)
    assert current_version() == old
    assert "24.0.0" in database_path().name
    pin_version(None)
    assert pinned_version() is None
    assert current_version().version == "26.0.0"


def test_a_pinned_one_that_is_not_here(fetched):
    old = fetched("24.0.0")
    pin_version(old)
    (version_dir("24.0.0") / "tables.json").unlink()
    with pytest.raises(
        SourceError, match=r'24\.0\.0 .* is pinned but not here \(here: 25\.0\.5\): "medimagenet update'
    ):
        current_version()


def test_a_damaged_choice(small_idc, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "public-index.json").write_text("{")
    with pytest.raises(SourceError, match=r"public-index\.json does not say which version is pinned .*: remove it"):
        current_version()


def test_side_indices_make_another_database(fetched):
    before = public_database()
    one = fetched("25.0.5", "ct_index", "pt_index")
    assert (one.installed, one.side_indices) == (True, ("ct_index", "pt_index"))
    assert one.size_bytes > 0
    assert database_path() != before
    assert database_path().name.startswith("idc-25.0.5-")


def test_a_folder_without_its_list_is_not_there(fetched):
    fetched("26.0.0")
    (version_dir("26.0.0") / "tables.json").write_text(json.dumps({"tables": 3}))
    assert [one.version for one in versions_here()] == ["25.0.5"]


def test_removing(fetched):
    fetched("26.0.0")
    path = public_database()
    assert "26.0.0" in path.name
    remove_version(find_version("26"))
    assert not path.exists()
    assert not version_dir("26.0.0").exists()
    assert [one.version for one in versions_here()] == ["25.0.5"]
    with pytest.raises(ValueError, match="that of the installed package"):
        remove_version(find_version("25"))
    old = fetched("24.0.0")
    pin_version(old)
    with pytest.raises(ValueError, match=r"24\.0\.0 is pinned: unpin it first"):
        remove_version(old)
    assert [path.name for path in index_dir().iterdir()] == ["idc-24.0.0"]


def test_removing_side_indices_leaves_the_installed_one(fetched):
    remove_version(fetched("25.0.5", "ct_index"))
    assert versions_here()[0].side_indices == ()


def test_names_of_versions():
    assert is_version("25.0.5")
    assert not any(map(is_version, ("25", "25.0", "current", "25.0.5/..", "")))
    assert sort_key("9.0.0") < sort_key("25.0.5") < sort_key("25.0.10rc1")
