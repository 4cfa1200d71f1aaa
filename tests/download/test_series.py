"""One series: what it leaves behind, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from medimagenet.download.journal import Journal
from medimagenet.download.layout import WORK_FOLDER
from medimagenet.download.plan import PlannedSeries
from medimagenet.download.series import SeriesFetcher
from medimagenet.download.transfer import Transfer
from medimagenet.errors import SourceError
from medimagenet.sources.base import RemoteFile
from tests.download.conftest import QUICK


class Listed:
    """A source that says what it is told."""

    name = "listed"

    def __init__(self, files):
        self.files = files

    def remote_files(self, row):
        return iter(self.files)


@pytest.fixture
def fetch(cloud, tmp_path):
    """Fetch the first series of the cloud from some files: (content, bytes counted)."""
    (row, *_) = cloud.index.rows()

    def call(files):
        counted = []
        with Journal(tmp_path) as journal, ThreadPoolExecutor(4) as executor:
            transfer = Transfer(limits=QUICK)
            fetcher = SeriesFetcher(journal, transfer, executor)
            content = fetcher.fetch(PlannedSeries(row=row, folder="s"), Listed(files), counted.append)
            transfer.close()
        return content, sum(counted)

    return call


def remotes(cloud, server, **values):
    paths = [path for path in cloud.objects if "00000001-" in path]
    return [RemoteFile(url=server.url + path, path=path.rpartition("/")[2], **values) for path in paths]


def test_its_files_are_in_their_place_and_its_staging_is_gone(cloud, server, fetch, tmp_path):
    content, counted = fetch(remotes(cloud, server))
    assert [path.name for path in sorted((tmp_path / "s").iterdir())] == ["0000.dcm", "0001.dcm", "0002.dcm"]
    assert list((tmp_path / WORK_FOLDER / "series").iterdir()) == []
    assert counted == sum(member.size_bytes for member in content.members) == cloud.records[0].size_bytes
    assert all(member.checksum.startswith("sha256:") for member in content.members)


def test_a_source_without_files_is_an_error(fetch):
    with pytest.raises(SourceError, match=r"listed has no files of series 1.2.826.0.1"):
        fetch([])


@pytest.mark.parametrize("path", ["../evil.dcm", "/abs.dcm", "a\\b.dcm"])
def test_a_place_outside_is_an_error(cloud, server, fetch, tmp_path, path):
    first, *_ = remotes(cloud, server)
    with pytest.raises(SourceError, match="names a file that cannot be"):
        fetch([RemoteFile(url=first.url, path=path, service="listed")])
    assert not (tmp_path.parent / "evil.dcm").exists()


def test_without_a_path_a_file_is_called_as_in_its_address(cloud, server, fetch):
    files = [RemoteFile(url=one.url + "?token=x") for one in remotes(cloud, server)]
    for path in list(cloud.objects):
        server.objects[path] = cloud.objects[path]
    assert [member.name for member in fetch(files)[0].members] == ["0000.dcm", "0001.dcm", "0002.dcm"]
