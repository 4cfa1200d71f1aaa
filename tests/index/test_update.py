"""`update_index` and `check_update` from Python."""

import pytest

from medimagenet.errors import SourceError
from medimagenet.index import SIDE_INDICES, check_update, open_index, update_index
from medimagenet.sources.idc_versions import pin_version, version_dir, versions_here


@pytest.fixture
def newer(small_idc, idc_server, idc_tables):
    table = idc_tables["idc_index"]
    idc_server.release("25.1.0", idc_tables | {"idc_index": table.slice(0, len(table) - 5)})
    return idc_server


def test_an_index_that_is_open_stays_as_it_is(newer, idc_tables):
    before = open_index()
    rows = len(before)
    assert rows == len(idc_tables["idc_index"])
    stages = []
    done = update_index(stage=lambda label: stages.append(label) or (lambda done, total: None))
    assert (done.earlier, done.version, done.opened) == ("25.0.5", "25.1.0", "25.1.0")
    assert done.side_indices == SIDE_INDICES
    assert set(done.fetched) == {label for label in stages if label.endswith("_index")} == set(idc_tables)
    assert stages[-1] == "laying the index for queries"
    assert (done.changes.new, done.changes.withdrawn) == (0, 5)
    assert done.database.stat().st_size == done.size_bytes
    assert len(before) == rows
    assert len(open_index()) == rows - 5


def test_nothing_to_do(newer):
    assert not check_update().here
    update_index(side_indices=["ct_index"])
    found = check_update()
    assert (found.version, found.available, found.here) == ("25.1.0", "25.1.0", True)
    assert found.missing == tuple(name for name in SIDE_INDICES if name != "ct_index")
    before = len(newer.requests)
    again = update_index("25.1", side_indices=["ct_index"])  # is here: nothing is asked
    assert (again.fetched, again.changes, len(newer.requests)) == ((), None, before)


def test_a_pinned_version_stays_open(newer):
    pin_version(versions_here()[0])
    done = update_index(side_indices=())
    assert (done.version, done.opened) == ("25.1.0", "25.0.5")
    assert update_index("25.1.0", side_indices=(), pin=True).opened == "25.1.0"


def test_a_pinned_version_that_was_lost_can_be_fetched_again(newer, idc_tables, idc_release):
    newer.release("24.0.0", {name: idc_tables[name] for name in idc_release.MAIN}, current=False)
    update_index("24.0.0", side_indices=(), pin=True)
    (version_dir("24.0.0") / "tables.json").unlink()
    with pytest.raises(SourceError, match=r"24\.0\.0 of the public index is pinned but not here"):
        open_index()
    assert update_index("24.0.0", side_indices=(), pin=True).earlier is None
    assert len(open_index()) > 0


def test_a_side_index_that_is_not_known(newer):
    with pytest.raises(ValueError, match="unknown side index 'rtstruct': did you mean 'rtstruct_index'"):
        update_index(side_indices=["rtstruct"])


def test_a_table_that_was_removed_behind_our_back(newer):
    """What the list names and is not there is an error that says so, not an empty answer."""
    update_index(side_indices=())
    (version_dir("25.1.0") / "idc_index.parquet").unlink()
    for database in version_dir("25.1.0").parent.glob("*.duckdb"):
        database.unlink()
    with pytest.raises(SourceError, match=r"idc_index\.parquet could not be laid anew"):
        open_index()
