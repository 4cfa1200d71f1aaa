"""Details of services that whole manifests do not show; what they list is judged in test_archive.py."""

import json

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.archive_listing import list_archive
from medimagenet.sources.manifest import Manifest
from tests.sources.archive_server import COMMIT, ArchiveServer

COMMON = {"collection_id": "c", "format": "nifti", "license": "CC0-1.0"}


@pytest.mark.parametrize(
    ("shared", "direct"),
    [
        ("https://www.dropbox.com/s/abc/x.nii?dl=0", "https://www.dropbox.com/s/abc/x.nii?dl=1"),
        ("https://www.dropbox.com/s/abc/x.nii", "https://www.dropbox.com/s/abc/x.nii?dl=1"),
        (
            "https://www.dropbox.com/scl/fi/a/x.nii?rlkey=k&dl=0#s",
            "https://www.dropbox.com/scl/fi/a/x.nii?rlkey=k&dl=1",
        ),
        ("https://www.dropbox.com/s/abc/x.nii?raw=1", "https://www.dropbox.com/s/abc/x.nii?dl=1"),
    ],
)
def test_dropbox_addresses(shared, direct):
    manifest = Manifest.model_validate(COMMON | {"source": "dropbox", "files": [{"path": "x.nii", "url": shared}]})
    (file,) = list_archive(manifest).files
    assert file.url == direct


@pytest.fixture
def huggingface(monkeypatch):
    server = ArchiveServer({f"a/{n} ä.nii": b"x" for n in range(5)})
    monkeypatch.setenv("MEDIMAGENET_HUGGINGFACE_URL", f"{server.url}/")
    yield server
    server.close()


def listed():
    return list_archive(Manifest.model_validate(COMMON | {"source": "huggingface", "repo": "lab/set"}))


def test_a_tree_of_many_pages_and_names_that_need_quotes(huggingface):
    found = listed()
    assert [file.path for file in found.files] == [f"a/{n} ä.nii" for n in range(5)]
    assert found.files[0].url == f"{huggingface.url}/datasets/lab/set/resolve/{COMMIT}/a/0%20%C3%A4.nii"
    assert found.place.endswith(f"/datasets/lab/set/tree/{COMMIT}")


def test_a_page_on_another_host_is_not_asked_for(huggingface, monkeypatch):
    answer = huggingface.answer

    def elsewhere(path, query, token):
        status, headers, body = answer(path, query, token)
        return status, {"Link": '<http://192.0.2.1/tree>; rel="next"'} if "Link" in headers else {}, body

    monkeypatch.setattr(huggingface, "answer", elsewhere)
    with pytest.raises(SourceError, match=r"the next page of .* is on another host"):
        listed()


def test_a_tree_that_leads_back_to_itself_ends(huggingface, monkeypatch):
    url = f"{huggingface.url}/api/datasets/lab/set/tree/{COMMIT}?recursive=true"
    entry = {"type": "file", "path": "a.nii", "size": 1, "oid": "0"}
    about = json.dumps({"sha": COMMIT}).encode()

    def circle(path, query, token):
        return (
            (200, {"Link": f'<{url}>; rel="next"'}, json.dumps([entry]).encode())
            if "tree" in path
            else (200, {}, about)
        )

    monkeypatch.setattr(huggingface, "answer", circle)
    assert [file.path for file in listed().files] == ["a.nii"]
