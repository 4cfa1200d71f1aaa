"""The whole stage against servers on loopback: whatever fails, nothing wrong is complete, and the next run ends it."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from medimagenet import Index
from medimagenet.download import download, plan_download
from medimagenet.download.journal import MANIFEST, read_manifest, read_records
from medimagenet.download.layout import WORK_FOLDER
from medimagenet.errors import LicenseError, SourceError, UnreachableError
from medimagenet.sources import http, registry
from medimagenet.sources.base import RemoteFile
from medimagenet.sources.http import Limits
from tests.download.conftest import QUICK, Cloud, make_instance, tree
from tests.download.object_server import Fault


def expected(cloud: Cloud) -> dict[str, bytes]:
    """What shall be there, by the default template."""
    places = {}
    for record in cloud.records:
        folder = f"{record.collection_id}/{record.PatientID}/{record.StudyInstanceUID}/CT_{record.SeriesInstanceUID}"
        prefix = record.uri.removeprefix("s3:/")
        for path, body in cloud.objects.items():
            if path.startswith(prefix):
                places[f"{folder}/{path.removeprefix(prefix)}"] = body
    return dict(sorted(places.items()))


def run(cloud, folder, **settings):
    return download(cloud.index, folder, limits=QUICK, **settings)


def unfinished(folder):
    """What is in the work folder besides the lock."""
    return [path for path in (folder / WORK_FOLDER).rglob("*") if path.is_file() and path.name != "lock"]


def test_from_a_real_s3_server(cloud, tmp_path, monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, **keys)
        client.create_bucket(Bucket="idc-open-data", ACL="public-read")
        for path, body in cloud.objects.items():
            key = path.removeprefix("/idc-open-data/")
            client.put_object(Bucket="idc-open-data", Key=key, Body=body, ACL="public-read")
        monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", url)
        report = run(cloud, tmp_path)
    finally:
        server.stop()
    assert (report.fetched, report.complete, report.failed) == (2, 0, ())
    assert tree(tmp_path) == expected(cloud)
    assert unfinished(tmp_path) == []


def test_what_is_complete_is_not_asked_for_again(cloud, server, tmp_path):
    first = run(cloud, tmp_path)
    asked = len(server.asked)
    cloud.add(3)
    second = run(cloud, tmp_path)
    assert (first.fetched, second.fetched, second.complete) == (2, 1, 2)
    assert all("00000003-" in path for _, path, _ in server.asked[asked:])
    third = run(cloud, tmp_path)
    assert (third.fetched, third.complete) == (0, 3)
    assert tree(tmp_path) == expected(cloud)


def test_an_index_of_the_files_is_ready_when_it_ends(cloud, server, tmp_path):
    report = run(cloud, tmp_path)
    index = Index.read(report.index)
    rows = {row["SeriesInstanceUID"]: row for row in index.rows()}
    assert index.problems == []
    for record in cloud.records:
        row = rows[record.SeriesInstanceUID]
        assert [path.read_bytes() for path in Index.paths(row)] == [
            body for path, body in cloud.objects.items() if path.startswith(record.uri.removeprefix("s3:/"))
        ]
        for name in ("collection_id", "license", "doi", "crdc_series_uuid"):
            assert row[name] == getattr(record, name)


def test_the_manifest_says_what_came_from_where(cloud, server, tmp_path):
    run(cloud, tmp_path)
    records = read_manifest(tmp_path / MANIFEST)
    assert [record.SeriesInstanceUID for record in records] == ["1.2.826.0.1", "1.2.826.0.2"]
    assert records[0].license_spdx == "CC-BY-4.0"
    assert records[0].uri == cloud.records[0].uri
    assert all(checksum.startswith("md5:") for record in records for checksum in record.checksums)
    text = (tmp_path / "ATTRIBUTION.md").read_text()
    assert "**lung** (idc): 2 series. Cite: <https://doi.org/10.1/abc>" in text
    assert "P1" not in text


FAULTS = {
    "cut": Fault(cut_at=300),
    "wrong checksum": Fault(body=b"x" * 1000),
    "429 with Retry-After": Fault(status=429, retry_after="0"),
    "429": Fault(status=429),
    "503 with Retry-After": Fault(status=503, retry_after="0"),
    "503": Fault(status=503),
    "short": Fault(body=b"short"),
    "empty": Fault(body=b""),
    "slow": Fault(delay_s=0.02, block=100),
    "html": Fault(body=b"<!doctype html><html>too many requests"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_does_no_harm_and_the_next_run_ends_it(cloud, server, tmp_path, name):
    """Each object fails once, one of them for ever: that series is not there, the other is right."""
    (broken, *_), others = sorted(cloud.objects), sorted(cloud.objects)[1:]
    if name not in ("html",):
        for path in others:
            server.fail(path, FAULTS[name])
    server.fail(broken, *[FAULTS[name]] * 20)
    report = run(cloud, tmp_path)
    right = expected(cloud)
    if name == "slow":
        assert (report.fetched, report.failed) == (2, ())
    else:
        assert [one.SeriesInstanceUID for one in report.failed] == ["1.2.826.0.1"]
        assert set(tree(tmp_path)) - {path for path in right if "CT_1.2.826.0.2" in path} == {
            path.relative_to(tmp_path).as_posix() for path in (tmp_path / WORK_FOLDER).rglob("*.dcm")
        }
    server.faults.clear()
    asked = len(server.asked)
    again = run(cloud, tmp_path)
    assert again.failed == ()
    assert tree(tmp_path) == right
    assert unfinished(tmp_path) == []
    if name != "slow":
        assert {path for _, path, _ in server.asked[asked:] if "?" not in path} == {broken}


def test_an_object_that_is_wrong_in_the_bucket_is_never_complete(cloud, server, tmp_path):
    """Right checksum, wrong content: another series' slice under this series' name."""
    path = next(iter(cloud.objects))
    cloud.objects[path] = make_instance("1.9.9", 1)
    report = run(cloud, tmp_path)
    assert report.fetched == 1
    assert "is of series 1.9.9, 1.2.826.0.1 was asked for" in report.failed[0].reason
    assert list(read_records(tmp_path)) == [cloud.records[1].key]


def test_lost_files_alone_are_fetched_again(cloud, server, tmp_path):
    run(cloud, tmp_path)
    lost = sorted(tmp_path.rglob("CT_1.2.826.0.1/*.dcm"))[1]
    lost.unlink()
    asked = len(server.asked)
    report = run(cloud, tmp_path)
    assert (report.fetched, report.complete) == (1, 1)
    assert len([path for _, path, _ in server.asked[asked:] if "?" not in path]) == 1
    assert tree(tmp_path) == expected(cloud)


def test_a_revision_comes_beside_the_old_one(cloud, server, tmp_path):
    run(cloud, tmp_path)
    old = tree(tmp_path)
    uid = cloud.records[0].SeriesInstanceUID
    revised = cloud.add(7)
    for path in [path for path in cloud.objects if path.startswith(revised)]:
        cloud.objects[path] = make_instance(uid, 10 + int(path[-5]))
    cloud.records = [Cloud.changed(cloud.records[-1], SeriesInstanceUID=uid)]
    assert run(cloud, tmp_path).fetched == 1
    new = tree(tmp_path)
    assert {path: new[path] for path in old} == old
    assert len(new) == len(old) + 3
    assert len({path.rpartition("/")[0] for path in new}) == 3


def test_licences_are_said_yes_to_before_anything_is_asked(cloud, server, tmp_path):
    cloud.add(3, license="CC BY-NC 3.0")
    cloud.add(4, agreement="https://example.org/terms")
    with pytest.raises(LicenseError, match=r"https://example.org/terms; CC BY-NC 3.0"):
        run(cloud, tmp_path / "x", accept_licenses=["CC BY 4.0"])
    assert server.asked == []
    assert not (tmp_path / "x").exists()
    report = run(cloud, tmp_path / "x", accept_licenses=["CC BY-NC", "https://example.org/terms"])
    assert (report.fetched, report.failed) == (4, ())


def test_no_room_on_the_disk_is_said_before(cloud, server, tmp_path):
    cloud.add(3, size_bytes=10**18)
    with pytest.raises(SourceError, match=r"GB free, the download takes 1000000000.0 GB"):
        run(cloud, tmp_path / "x")
    assert server.asked == []
    assert not plan_download(cloud.index, tmp_path).fits


def test_progress_ends_at_all_whatever_comes(cloud, server, tmp_path):
    server.fail(next(iter(cloud.objects)), Fault(cut_at=300))
    seen = []
    run(cloud, tmp_path, progress=lambda done, total: seen.append((done, total)))
    total = sum(record.size_bytes for record in cloud.records)
    assert seen[-1] == (total, total)
    assert {all_of for _, all_of in seen} == {total}
    assert all(0 <= done <= total for done, _ in seen)


def test_jobs_must_be_some(cloud, tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        download(cloud.index, tmp_path, jobs=0)


# ---- zips, as NBIA sends them, and multipart


class Packed:
    """A source whose series are one body each, of the kind that `uri` begins with."""

    name = "packed"

    def remote_files(self, row):
        kind, _, url = row["uri"].partition("+")
        return [RemoteFile(url=url, package=kind)]


@pytest.fixture
def packed(monkeypatch):
    monkeypatch.setitem(registry.SOURCES, "packed", f"{__name__}:Packed")
    monkeypatch.setattr(registry, "source_class", lambda name: Packed)


def zipped(instances, *, names=None):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("LICENSE", "CC BY 4.0")
        for number, body in enumerate(instances, start=1):
            archive.writestr((names or {}).get(number, f"1-{number:03d}.dcm"), body)
    return stream.getvalue()


def packed_series(cloud, server, number, body, kind="zip", **values):
    server.objects[f"/{number}"] = body
    cloud.add(number, source="packed", uri=f"{kind}+{server.url}/{number}", **values)


@pytest.fixture
def archive(cloud, server, packed):
    """A series of three slices in a zip without length, as NBIA streams it."""
    cloud.records.clear()
    instances = [make_instance("1.2.826.0.5", number) for number in (1, 2, 3)]
    packed_series(cloud, server, 5, zipped(instances))
    server.always = Fault(chunked=True)
    return instances


def test_a_zip_is_unpacked_and_its_files_called_by_their_instance(cloud, server, archive, tmp_path):
    report = run(cloud, tmp_path)
    assert (report.fetched, report.failed) == (1, ())
    assert {Path(path).name: body for path, body in tree(tmp_path).items()} == {
        f"1.2.826.0.5.{number}.dcm": body for number, body in enumerate(archive, start=1)
    }
    assert [path.name for path in tmp_path.rglob("*LICENSE")] == ["1.2.826.0.5.LICENSE"]
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize("kind", ["short zip", "cut zip", "slip", "html", "other series"])
def test_a_wrong_zip_once_is_asked_for_again_and_for_ever_is_an_error(cloud, server, archive, tmp_path, kind):
    bodies = {
        "short zip": zipped(archive[:2]),  # as NBIA ends a stream after an error of its own, with 200
        "cut zip": zipped(archive)[:-100],
        "slip": zipped(archive, names={2: "../../../evil.dcm"}),
        "html": b"<html>Sign in</html>",
        "other series": zipped([*archive[:2], make_instance("1.9", 3)]),
    }
    wrong = Fault(body=bodies[kind])
    server.always = wrong
    failed = run(cloud, tmp_path)
    assert (failed.fetched, len(failed.failed)) == (0, 1)
    assert tree(tmp_path) == {}
    assert read_records(tmp_path) == {}
    assert not list(tmp_path.parent.rglob("evil.dcm"))
    server.always = None
    if kind != "html":
        server.fail("/5", wrong)
    assert run(cloud, tmp_path).failed == ()
    assert sorted(tree(tmp_path).values()) == sorted(archive)


def test_a_multipart_body_is_taken_apart(cloud, server, archive, tmp_path):
    parts = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % body for body in archive)
    cloud.records.clear()
    packed_series(cloud, server, 5, b"", kind="multipart")
    server.always = Fault(body=parts + b"--b--", content_type='multipart/related; type="application/dicom"; boundary=b')
    assert run(cloud, tmp_path).failed == ()
    assert sorted(tree(tmp_path).values()) == sorted(archive)


def test_files_of_several_rows_in_one_archive_are_fetched_once(cloud, server, packed, tmp_path):
    cloud.records.clear()
    body = zipped([b"image", b"label"], names={1: "imagesTr/a.nii.gz", 2: "labelsTr/a.nii.gz"})
    server.objects["/all"] = body
    for number, name in ((1, "imagesTr/a.nii.gz"), (2, "labelsTr/a.nii.gz")):
        cloud.add(
            *(number,),
            source="packed",
            uri=f"zip+{server.url}/all",
            file_format="nifti",
            files=(name,),
            n_instances=1,
            size_bytes=5,
        )
    server.asked.clear()
    report = download(cloud.index, tmp_path, template="%collection_id", limits=QUICK)
    assert (report.fetched, report.failed) == (2, ())
    assert server.gets() == ["/all"]
    assert (tmp_path / "lung" / "imagesTr" / "a.nii.gz").read_bytes() == b"image"
    rows = Index.read(report.index).rows()
    assert [Index.paths(row)[0].read_bytes() for row in rows] == [b"image", b"label"]
    assert [row["file_format"] for row in rows] == ["nifti", "nifti"]
    assert unfinished(tmp_path) == []
    (tmp_path / "lung" / "labelsTr" / "a.nii.gz").unlink()
    assert download(cloud.index, tmp_path, template="%collection_id", limits=QUICK).fetched == 1
    assert Index.read(report.index).rows() == rows


# ---- interruptions


PROGRAM = """
import sys
from medimagenet import Index
from medimagenet.download import download
download(Index.read(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture
def large(server, cloud):
    """Six series of four slices, 130 kB each, that come slowly."""
    cloud.objects.clear()
    cloud.records.clear()
    for number in range(1, 7):
        cloud.add(number, instances=4, edge=256)
    server.always = Fault(delay_s=0.004, block=1 << 13)
    return cloud


def start(cloud, folder, tmp_path):
    cloud.index.write(tmp_path / "asked.parquet")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path / "asked.parquet", folder], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_kill_9_in_the_middle(large, server, tmp_path, share):
    folder = tmp_path / "out"
    total = sum(map(len, large.objects.values()))
    process = start(large, folder, tmp_path)
    while server.sent < share * total:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    server.always = None
    right = expected(large)
    there = {path: body for path, body in tree(folder).items() if not path.startswith(WORK_FOLDER)}
    assert there == {path: right[path] for path in there}
    before = read_records(folder)
    asked = len(server.asked)
    report = run(large, folder)
    assert (report.fetched, report.failed) == (6 - report.complete, ())
    assert report.complete >= len(before) - 1  # one may have been noted, and its moves finished by this run
    complete = {key.rpartition(":")[2] for key in before}
    assert not any(path.split("/")[2] in complete for _, path, _ in server.asked[asked:] if "?" not in path)
    assert tree(folder) == right
    assert unfinished(folder) == []
    assert len(Index.read(report.index)) == 6


def test_killed_between_the_journal_and_the_moves(cloud, server, tmp_path, monkeypatch):
    """The next run moves the files, and asks for nothing."""

    def killed(moves):
        raise KeyboardInterrupt

    one = Index.from_records(cloud.records[:1])
    monkeypatch.setattr("medimagenet.download.journal._move", killed)
    with pytest.raises(KeyboardInterrupt):
        download(one, tmp_path, limits=QUICK)
    monkeypatch.undo()
    monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", server.url)
    assert not any(path.startswith("lung") for path in tree(tmp_path))
    asked, seen = len(server.asked), []
    report = download(one, tmp_path, limits=QUICK, progress=lambda done, total: seen.append((done, total)))
    assert (report.fetched, report.complete, len(server.asked)) == (0, 1, asked)
    assert len(tree(tmp_path)) == 3
    assert seen[-1] == (cloud.records[0].size_bytes,) * 2


def test_interrupted_by_the_keyboard(large, server, tmp_path):
    folder = tmp_path / "out"
    process = start(large, folder, tmp_path)
    while server.sent < 1_000_000:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.count("KeyboardInterrupt") == 1
    server.always = None
    assert run(large, folder).failed == ()
    assert tree(folder) == expected(large)


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(large, server, tmp_path, monkeypatch):
    """A disk of 2 MB for 3 MB, in a namespace of its own; then the same folder with room."""
    server.always = None
    disk = tmp_path / "disk"
    disk.mkdir()
    large.index.write(tmp_path / "asked.parquet")
    mount = ["unshare", "-rm", "sh", "-c"]
    script = (
        'mount -t tmpfs -o size=2m tmpfs "$1" && "$2" -c "$3" "$4" "$1/out"; code=$?; cp -r "$1/out" "$5"; exit $code'
    )
    if subprocess.run([*mount, "mount -t tmpfs tmpfs /mnt"], check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own needs user namespaces (unshare -rm), which this system does not allow")
    program = PROGRAM.replace(
        "import sys", "import sys\nfrom medimagenet.download import plan\nplan._RESERVE = -(1 << 40)"
    )
    arguments = ["sh", disk, sys.executable, program, tmp_path / "asked.parquet", tmp_path / "left"]
    answer = subprocess.run([*mount, script, *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("OSError: [Errno 28] No space left on device")
    left = tmp_path / "left"
    right = expected(large)
    there = {path: body for path, body in tree(left).items() if not path.startswith(WORK_FOLDER)}
    assert there == {path: right[path] for path in there}
    assert run(large, left).failed == ()
    assert tree(left) == right


def test_an_error_of_ours_ends_all_threads(cloud, server, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("bug")

    monkeypatch.setattr("medimagenet.download.series.check_content", broken)
    with pytest.raises(RuntimeError, match="bug"):
        run(cloud, tmp_path)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("medimagenet")] == []


def test_without_a_network_it_ends_soon_and_keeps_what_is_complete(cloud, server, tmp_path, monkeypatch):
    run(cloud, tmp_path)
    for number in range(3, 40):
        cloud.add(number, instances=1)
    monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(http.LIMITS, "idc", Limits(attempts=1))
    with pytest.raises(UnreachableError, match=r"error sending request.*8 series after each other"):
        run(cloud, tmp_path)
    assert len(read_manifest(tmp_path / MANIFEST)) == 2


def test_credentials_are_in_no_file_and_no_error(cloud, server, archive, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MEDIMAGENET_PACKED_TOKEN", "SECRET")
    monkeypatch.setenv("MEDIMAGENET_PACKED_HOST", urlsplit(server.url).netloc)
    monkeypatch.setattr(
        Packed, "remote_files", lambda self, row: [RemoteFile(url=f"{server.url}/5", package="zip", service="packed")]
    )
    server.always = Fault(status=401, body=b"Bearer SECRET is not known")
    report = run(cloud, tmp_path)
    assert "SECRET" not in str(report) + caplog.text
    server.always = None
    assert run(cloud, tmp_path).failed == ()
    assert server.asked[-1][2]["Authorization"] == "Bearer SECRET"
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"SECRET" not in path.read_bytes()


def test_an_archive_of_which_only_the_outside_is_known(cloud, server, packed, tmp_path):
    """As a manifest of a Zenodo record lists it: what is in it is told by an index of what came out."""
    cloud.records.clear()
    body = zipped([make_instance("1.7", 1), make_instance("1.8", 1)], names={1: "a/1.dcm", 2: "b/1.dcm"})
    server.objects["/data.zip"] = body
    uri, size = f"zip+{server.url}/data.zip", len(body)
    cloud.add(1, source="packed", uri=uri, file_format="zip", files=("data.zip",), n_instances=0, size_bytes=size)
    report = download(cloud.index, tmp_path, template="%collection_id", limits=QUICK)
    assert (report.fetched, report.failed) == (1, ())
    assert sorted(tree(tmp_path)) == ["lung/a/1.dcm", "lung/b/1.dcm"]
    index = Index.read(report.index)
    assert [(row["SeriesInstanceUID"], row["license"]) for row in index.rows()] == [
        ("1.7", "CC BY 4.0"),
        ("1.8", "CC BY 4.0"),
    ]
    assert [Path(one["path"]).name for one in index.problems] == ["LICENSE"]


def test_files_that_have_not_changed_are_not_read_again(cloud, server, tmp_path):
    run(cloud, tmp_path)
    first = Index.read(tmp_path / "index.parquet").rows()
    cloud.add(3)
    assert run(cloud, tmp_path).fetched == 1
    rows = Index.read(tmp_path / "index.parquet").rows()
    assert [row for row in rows if row["SeriesInstanceUID"] != "1.2.826.0.3"] == first
    assert len(rows) == 3
