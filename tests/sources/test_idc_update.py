"""Updates from a server on loopback, and what goes wrong with them: nothing wrong is ever taken for whole."""

import hashlib
import shutil

import duckdb
import pyarrow.parquet as pq
import pytest

from medimagenet.errors import HttpError, SourceError
from medimagenet.sources.http import Client, Limits
from medimagenet.sources.idc import public_database
from medimagenet.sources.idc_update import IdcRelease, check_table
from medimagenet.sources.idc_versions import current_version, index_dir, versions_here

INDEX = "/current/release_artifacts/idc_index.parquet"
KEPT = 65536  # bytes of a broken connection that are whole blocks
RTSTRUCT = "/current/release_artifacts/rtstruct_index.parquet"


@pytest.fixture
def releases(small_idc, idc_server):
    """The server's releases, asked without waiting."""
    limits = Limits(backoff_s=0.0, attempts=3)
    return IdcRelease(client=Client("idc", base_url=idc_server.url, limits=limits, sleep=lambda seconds: None))


@pytest.fixture
def newer(idc_server, idc_tables):
    """25.1.0 with all tables is current."""
    idc_server.release("25.1.0", idc_tables)


def state():
    """Everything in the cache, by content."""
    return {
        path.relative_to(index_dir()): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in index_dir().rglob("*")
        if path.is_file() and not path.relative_to(index_dir()).parts[0].startswith(".fetch")
    }


def test_a_newer_version_with_side_indices(releases, newer, idc_release, idc_server):
    release = releases.find()
    assert release.version == "25.1.0"
    stages = {}
    found = releases.fetch(
        release, idc_release.SIDES, lambda label: lambda done, total: stages.update({label: (done, total)})
    )
    assert (found.version, found.installed, found.side_indices) == ("25.1.0", False, idc_release.SIDES)
    assert current_version() == found
    for name, path in found.files.items():
        published = idc_server.folder / "25.1.0" / "release_artifacts" / f"{name}.parquet"
        assert path.read_bytes() == published.read_bytes()
        assert stages[name] == (path.stat().st_size, path.stat().st_size)
    assert [path.name for path in index_dir().iterdir()] == ["idc-25.1.0"]


def test_side_indices_of_the_installed_version(releases, idc_server, idc_tables):
    idc_server.release("25.0.5", idc_tables)
    found = releases.fetch(releases.find(), ["ct_index"])
    assert (found.version, found.installed, found.side_indices) == ("25.0.5", True, ("ct_index",))
    assert idc_server.asked("idc_index.parquet") == ["bytes=-65536"]  # only to see which version it is
    found = releases.fetch(releases.find(), ["ct_index", "pt_index"])
    assert found.side_indices == ("ct_index", "pt_index")
    assert len(idc_server.asked("ct_index.parquet")) == 1


def test_a_version_by_its_beginning_and_in_full(releases, newer, idc_server, idc_tables):
    for version in ("24.0.3", "24.1.0", "2.0.0"):
        idc_server.release(version, idc_tables, current=False)
    assert releases.find("24").version == "24.1.0"
    assert releases.find("24.0").version == "24.0.3"
    assert releases.find("24.0.3").address == "24.0.3/release_artifacts"
    with pytest.raises(SourceError, match="lists no version that begins with 23"):
        releases.find("23")
    with pytest.raises(SourceError, match=r"publishes no version 9\.9\.9 of its index: .*404"):
        releases.find("9.9.9")
    with pytest.raises(SourceError, match=r"a version is such as 25 or 25\.0\.5, got 'latest'"):
        releases.find("latest")


def test_a_server_that_does_not_list(releases, idc_server, idc_release):
    idc_server.faults["/"] = [lambda handler, body: idc_release.answer(handler, b"AccessDenied", status=403)]
    with pytest.raises(SourceError, match=r"begin with 24 is not said .*403.*name one in full"):
        releases.find("24")


def break_off(idc_release, at):
    def fault(handler, body):
        idc_release.answer(handler, body[:at], length=len(body))

    return fault


def test_a_broken_connection_is_gone_on_with(releases, newer, idc_server, idc_release):
    release = releases.find()
    idc_server.faults[INDEX] = [break_off(idc_release, KEPT + 100)]
    found = releases.fetch(release, [])
    assert pq.read_table(found.files["idc_index"]).num_rows > 0
    assert idc_server.asked("idc_index.parquet")[1:] == [None, f"bytes={KEPT}-"]


def test_the_next_run_goes_on_where_one_broke_off(releases, newer, idc_server, idc_release):
    release = releases.find()

    def refuse(handler, body):
        handler.close_connection = True
        handler.connection.close()

    idc_server.faults[INDEX] = [break_off(idc_release, KEPT + 100)] + [refuse] * 9
    before = state()
    with pytest.raises(SourceError, match=r"no answer from|broke off"):
        releases.fetch(release, [])
    assert state() == before
    assert [one.version for one in versions_here()] == ["25.0.5"]
    idc_server.faults.clear()
    releases.fetch(releases.find(), [])
    assert idc_server.asked("idc_index.parquet")[-1] == f"bytes={KEPT}-"
    assert current_version().version == "25.1.0"


def test_a_wrong_checksum(releases, newer, idc_server):
    path = idc_server.folder / RTSTRUCT.lstrip("/")
    path.with_name(f"{path.name}.sha256").write_text("0" * 64)
    before = state()
    with pytest.raises(
        SourceError, match=r"rtstruct_index\.parquet: SHA-256 of the [\d,]+ bytes .*published is 000000"
    ):
        releases.fetch(releases.find(), ["rtstruct_index"])
    assert state() == before
    assert current_version().version == "25.0.5"


def test_wrong_bytes_of_an_earlier_attempt_are_read_again(releases, newer, idc_server):
    release = releases.find()
    staging = index_dir() / ".fetch-25.1.0"
    staging.mkdir(parents=True)
    (staging / f"idc_index.parquet.{release.checksum[:16]}.part").write_bytes(b"x" * 100)
    found = releases.fetch(release, [])
    assert hashlib.sha256(found.files["idc_index"].read_bytes()).hexdigest() == release.checksum
    assert idc_server.asked("idc_index.parquet")[1:] == ["bytes=100-", None]


def test_a_cut_file_with_its_own_checksum(releases, newer, idc_server, idc_release):
    path = idc_server.folder / RTSTRUCT.lstrip("/")
    path.write_bytes(path.read_bytes()[:500])
    idc_release.publish_checksum(path)
    before = state()
    with pytest.raises(SourceError, match=r"rtstruct_index of version 25\.1\.0 is no Parquet file that can be read"):
        releases.fetch(releases.find(), ["rtstruct_index"])
    assert state() == before


HTML = b"<!DOCTYPE html><html><body>Sign in to the hospital's network</body></html>"


@pytest.mark.parametrize("ending", [".sha256", ""])
def test_a_page_instead_of_data(releases, newer, idc_server, idc_release, ending):
    path = INDEX + ending
    idc_server.faults[path] = [lambda handler, body: idc_release.answer(handler, HTML)]
    with pytest.raises(SourceError, match=r"is no SHA-256: it begins with '<!DOCTYPE|is no Parquet file"):
        releases.find()


def test_503_is_asked_again_and_then_told(releases, newer, idc_server, idc_release):
    def busy(handler, body):
        idc_release.answer(handler, b"busy", status=503)

    idc_server.faults[f"{INDEX}.sha256"] = [busy, busy]
    assert releases.find().version == "25.1.0"
    idc_server.faults[f"{INDEX}.sha256"] = [busy] * 3
    with pytest.raises(HttpError, match="503"):
        releases.find()


def test_a_release_that_changes_meanwhile(releases, newer, idc_server, idc_tables):
    release = releases.find()
    idc_server.release("25.2.0", {"idc_index": idc_tables["idc_index"].slice(0, 100)})
    with pytest.raises(SourceError, match="published another version while this one was fetched"):
        releases.fetch(release, [])


def test_a_table_of_another_version(releases, newer, idc_server, idc_tables):
    idc_server.release("25.0.9", {"ct_index": idc_tables["ct_index"]})
    with pytest.raises(SourceError, match=r"ct_index is of version 25\.0\.9, the others are of 25\.1\.0"):
        releases.fetch(releases.find(), ["ct_index"])


def test_a_folder_that_holds_another_version(releases, newer, idc_server):
    shutil.copytree(idc_server.folder / "25.1.0", idc_server.folder / "24.0.0")
    with pytest.raises(SourceError, match=r"asked for version 24\.0\.0 and holds version 25\.1\.0"):
        releases.find("24.0.0")


def test_a_table_without_a_column_or_with_a_series_twice(tmp_path, idc_release, idc_tables):
    table = idc_tables["ct_index"]
    idc_release.write_tables(tmp_path, {"ct_index": table.drop_columns(["Rows", "Columns"])}, "25.1.0")
    with pytest.raises(SourceError, match=r"ct_index of version 25\.1\.0 lacks the columns Rows, Columns"):
        check_table(tmp_path / "ct_index.parquet", "ct_index", "25.1.0")
    twice = table.take([0, 1, 1])
    idc_release.write_tables(tmp_path, {"ct_index": twice}, "25.1.0")
    with pytest.raises(SourceError, match="ct_index has 3 rows of 2 series"):
        check_table(tmp_path / "ct_index.parquet", "ct_index", "25.1.0")


def test_a_server_without_ranges(releases, newer, idc_server, idc_release):
    idc_server.faults[INDEX] = [lambda handler, body: idc_release.answer(handler, body)]
    with pytest.raises(SourceError, match="does not give parts of files"):
        releases.find()


def test_a_cache_that_cannot_be_written(releases, newer, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    release = releases.find()
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="MEDIMAGENET_CACHE_DIR names another folder"):
        releases.fetch(release, [])


def test_what_is_open_stays_open(releases, newer):
    """The database of the version before is untouched by an update, and the new one is laid beside it."""
    before = public_database()
    with duckdb.connect(str(before), read_only=True) as connection:
        releases.fetch(releases.find(), ["ct_index"])
        after = public_database()
        assert after != before
        assert connection.execute("SELECT count(*) FROM series").fetchone()[0] > 0
    with duckdb.connect(str(after), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM ct_index").fetchone()[0] > 0
