"""Collections by manifests, from servers on loopback that answer as Zenodo, HuggingFace and S3 do."""

import hashlib
import json
import urllib.request

import boto3
import pytest
from moto.server import ThreadedMotoServer

from medimagenet.download import download
from medimagenet.errors import SourceError
from medimagenet.index import index_source
from medimagenet.sources.archive import Archive
from medimagenet.sources.http import LIMITS, Limits
from medimagenet.sources.registry import remote_source
from tests.sources.archive_server import COMMIT, ArchiveServer

QUICK = Limits(attempts=2, backoff_s=0.01)
FILES = {
    "imagesTr/p1_0000.nii.gz": b"image 1",
    "imagesTr/p2_0000.nii.gz": b"image 2",
    "labelsTr/p1.nii.gz": b"label 1",
    "README.md": b"read me",
    "dataset.json": b"{}",
}
COMMON = {
    "collection_id": "spleens",
    "format": "nifti",
    "license": "CC-BY-4.0",
    "modality": "CT",
    "classes": ["spleen"],
}


@pytest.fixture
def server(monkeypatch):
    server = ArchiveServer(dict(FILES))
    monkeypatch.setenv("MEDIMAGENET_ZENODO_URL", server.url)
    monkeypatch.setenv("MEDIMAGENET_HUGGINGFACE_URL", server.url)
    for service in ("zenodo", "huggingface"):
        monkeypatch.setitem(LIMITS, service, QUICK)
    yield server
    server.close()


@pytest.fixture
def write(tmp_path):
    """Function that writes a manifest and gives its path."""

    def do(**values):
        path = tmp_path / "manifest.yaml"
        path.write_text(json.dumps(COMMON | values))  # JSON is YAML
        return path

    return do


def rows(path):
    return {row["SeriesDescription"]: row for row in index_source(f"archive:{path}").rows()}


def check_bytes(row):
    """What the row says can be fetched, and is what it says."""
    (file,) = remote_source("archive").remote_files(row)
    with urllib.request.urlopen(file.url) as answer:
        data = answer.read()
    assert data == FILES[row["SeriesDescription"]]
    assert file.size_bytes in (len(data), None)
    if file.checksum is not None:
        kind, _, digest = file.checksum.partition(":")
        assert hashlib.new(kind, data).hexdigest() == digest
    return file


def test_zenodo(server, write):
    found = rows(write(source="zenodo", record=7860267))
    assert found.keys() == {path for path in FILES if path.endswith(".nii.gz")}
    assert {row["Modality"] for row in found.values()} == {"CT", "SEG"}
    for row in found.values():
        file = check_bytes(row)
        assert (file.package, file.path, file.checksum[:4]) == ("none", row["SeriesDescription"], "md5:")
        assert (row["file_format"], row["source"], row["collection_id"]) == ("nifti", "archive", "spleens")
        assert (row["license"], row["doi"]) == ("CC-BY-4.0", "10.5281/zenodo.7860267")
        assert row["size_bytes"] == len(FILES[row["SeriesDescription"]])
    index = index_source(f"archive:{write(source='zenodo', record=7860267)}")
    (sample,) = index.samples("CT,SEG").samples
    assert sample.series["CT"]["SeriesDescription"] == "imagesTr/p1_0000.nii.gz"
    assert sample.series["SEG"]["roi_names"] == ["spleen"]


def test_a_download_is_the_files_and_their_rows(server, write, tmp_path):
    index = index_source(f"archive:{write(source='zenodo', record=7860267, citation='Doe 2024')}")
    report = download(index, tmp_path / "here")
    assert report.failed == ()
    found = {path.name: path.read_bytes() for path in (tmp_path / "here").rglob("*.nii.gz")}
    assert found == {path.rpartition("/")[2]: data for path, data in FILES.items() if path.endswith(".nii.gz")}
    assert "Doe 2024" in (tmp_path / "here" / "ATTRIBUTION.md").read_text()


def test_a_download_of_other_bytes_fails(server, write, tmp_path):
    index = index_source(f"archive:{write(source='zenodo', record=7860267)}")
    server.files["labelsTr/p1.nii.gz"] = b"label 2"
    report = download(index, tmp_path / "here")
    assert len(report.failed) == 1
    assert not list((tmp_path / "here").rglob("p1.nii.gz"))


def test_an_index_can_be_written_searched_and_read_again(server, write, tmp_path):
    index = index_source(f"archive:{write(source='zenodo', record=7860267, citation='Doe 2024')}")
    index.write(tmp_path / "x.parquet")
    again = type(index).read(tmp_path / "x.parquet").search(modality="CT", license="commercial")
    assert len(again) == 2
    assert {row["citation"] for row in again.rows()} == {"Doe 2024"}
    assert not (tmp_path / "x.files.parquet").exists()


def test_a_record_that_stands_for_all_versions_is_refused(server, write):
    with pytest.raises(SourceError, match="record 7860266 stands for all versions, the newest is 7860267"):
        rows(write(source="zenodo", record=7860266))


def test_a_record_that_is_not_open_or_not_there(server, write):
    server.access_right = "restricted"
    with pytest.raises(SourceError, match="is restricted, not open"):
        rows(write(source="zenodo", record=7860267))
    with pytest.raises(SourceError, match="answered 404"):
        rows(write(source="zenodo", record=1))


@pytest.mark.parametrize(
    "source", [{"source": "zenodo", "record": 7860267}, {"source": "huggingface", "repo": "lab/set"}]
)
def test_a_wrong_licence_is_refused(server, write, source):
    server.zenodo_license = {"id": "cc-by-nc-4.0"}
    server.huggingface_license = "cc-by-nc-4.0"
    with pytest.raises(SourceError, match=r"license is 'CC-BY-4\.0', .* says 'cc-by-nc-4\.0': correct the manifest"):
        rows(write(**source))


@pytest.mark.parametrize("license", [None, {"id": "cc-by-4.0"}])
def test_a_licence_in_other_letters_or_untold(server, write, license):
    server.zenodo_license = license
    assert {row["license"] for row in rows(write(source="zenodo", record=7860267, license="CC BY 4.0")).values()} == {
        "CC BY 4.0"
    }


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_huggingface_is_pinned_to_a_commit(server, write, revision):
    found = rows(write(source="huggingface", repo="lab/set", **({"revision": revision} if revision else {})))
    assert found.keys() == {path for path in FILES if path.endswith(".nii.gz")}  # over three pages
    for row in found.values():
        assert f"/resolve/{COMMIT}/" in row["uri"]
        assert check_bytes(row).checksum.startswith("sha256:")


def test_files_in_git_have_no_checksum(server, write):
    server.small = set(FILES)
    for row in rows(write(source="huggingface", repo="lab/set")).values():
        assert check_bytes(row).checksum is None


def test_a_gated_set_wants_a_token(server, write, monkeypatch):
    server.gated = True
    with pytest.raises(SourceError, match=r"answered 401.*is restricted"):
        rows(write(source="huggingface", repo="lab/set"))
    monkeypatch.setenv("MEDIMAGENET_HUGGINGFACE_TOKEN", "hf_test")
    assert len(rows(write(source="huggingface", repo="lab/set"))) == 3
    row = next(iter(rows(write(source="huggingface", repo="lab/set")).values()))
    (file,) = remote_source("archive").remote_files(row)
    assert file.service == "huggingface"


@pytest.fixture(scope="module")
def s3():
    """An S3 server with a bucket of `FILES` below a prefix."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="open", ACL="public-read")
    for path, data in FILES.items():
        client.put_object(Bucket="open", Key=f"set one/{path}", Body=data, ACL="public-read")
    yield url
    server.stop()


def test_s3(s3, write):
    found = rows(write(source="s3", bucket="open", prefix="set one/", endpoint=s3))
    assert found.keys() == {path for path in FILES if path.endswith(".nii.gz")}
    for row in found.values():
        check_bytes(row)
        assert row["size_bytes"] == len(FILES[row["SeriesDescription"]])
    with pytest.raises(SourceError, match=r"bucket absent at .* cannot be listed"):
        rows(write(source="s3", bucket="absent", endpoint=s3))


def test_plain_links_say_what_the_manifest_says(server, write):
    data = FILES["imagesTr/p1_0000.nii.gz"]
    entry = {"path": "imagesTr/p1_0000.nii.gz", "url": f"{server.url}/plain/imagesTr/p1_0000.nii.gz"}
    told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest().upper()}
    (row,) = rows(write(source="http", files=[entry | told])).values()
    assert server.asked == []
    assert check_bytes(row).checksum == f"sha256:{told['sha256'].lower()}"
    (row,) = rows(write(source="http", files=[entry])).values()
    assert check_bytes(row).checksum is None


def test_dropbox_links_are_to_the_file(write):
    entry = {"path": "a.zip", "url": "https://www.dropbox.com/scl/fi/abc/a.zip?rlkey=k&dl=0"}
    (row,) = rows(write(source="dropbox", files=[entry])).values()
    (file,) = remote_source("archive").remote_files(row)
    assert (file.url, file.package) == ("https://www.dropbox.com/scl/fi/abc/a.zip?rlkey=k&dl=1", "zip")


def test_archives_and_loose_dicom_are_known_from_outside(server, write):
    server.files = dict.fromkeys(("a.zip", "b.tar.gz", "c.dcm", "notes.txt"), b"PK")
    found = rows(write(source="zenodo", record=7860267, format="dicom"))
    assert {name: (row["file_format"], row["files"]) for name, row in found.items()} == {
        "a.zip": ("zip", []),
        "b.tar.gz": ("tar", []),
        "c.dcm": ("file", ["c.dcm"]),
    }
    packages = {name: remote_source("archive").remote_files(row)[0].package for name, row in found.items()}
    assert packages == {"a.zip": "zip", "b.tar.gz": "tar", "c.dcm": "none"}
    assert {len(row["key"]) for row in found.values()} != {0}


def test_what_the_manifest_lists_is_all(server, write):
    md5 = hashlib.md5(FILES["labelsTr/p1.nii.gz"]).hexdigest()
    found = rows(write(source="zenodo", record=7860267, files=[{"path": "labelsTr/p1.nii.gz", "md5": md5, "bytes": 7}]))
    assert found.keys() == {"labelsTr/p1.nii.gz"}
    found = rows(write(source="zenodo", record=7860267, include=["images*/p2*"]))
    assert found.keys() == {"imagesTr/p2_0000.nii.gz"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "absent.nii.gz"}, "has no file 'absent.nii.gz'"),
        (
            {"path": "labelsTr/p1.nii.gz", "md5": "0" * 32},
            "checksum is 0+, the source says .*: the manifest is of another",
        ),
        ({"path": "labelsTr/p1.nii.gz", "bytes": 8}, "bytes is 8, the source says 7"),
    ],
)
def test_a_manifest_that_contradicts_its_source(server, write, entry, message):
    with pytest.raises(SourceError, match=message):
        rows(write(source="zenodo", record=7860267, files=[entry]))


def test_names_by_patterns(server, write):
    server.files = {"ct/7-image.nii.gz": b"i", "seg/organs-of-7.nii.gz": b"l", "other/7.nii.gz": b"o"}
    pairs = {"images": r"ct/(?P<case>\d+)-image\.nii\.gz", "labels": r"seg/organs-of-(?P<case>\d+)\.nii\.gz"}
    found = rows(write(source="zenodo", record=7860267, pairs=pairs))
    assert found.keys() == {"ct/7-image.nii.gz", "seg/organs-of-7.nii.gz"}
    image, label = (found[name] for name in sorted(found))
    assert label["referenced_series"] == [image["SeriesInstanceUID"]]


def test_html_instead_of_json(server, write, monkeypatch):
    monkeypatch.setattr(server, "answer", lambda *_: (200, {}, b"<html>Sign in</html>"))
    with pytest.raises(SourceError, match="does not answer in JSON"):
        rows(write(source="zenodo", record=7860267))


def test_a_manifest_is_needed(tmp_path):
    with pytest.raises(SourceError, match="write the path of a manifest"):
        list(Archive("", limits=QUICK).series())
    with pytest.raises(SourceError, match=r"manifest .*absent\.yaml cannot be read: No such file"):
        list(Archive(str(tmp_path / "absent.yaml")).series())
