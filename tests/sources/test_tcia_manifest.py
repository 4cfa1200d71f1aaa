"""Manifests in the forms of sources.md, 1.6."""

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.tcia_manifest import read_manifest, write_manifest

UID = "1.3.6.1.4.1.14519.5.2.1.200342509692530171737702339931600829926"
EXAMPLE = f"""downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-1746549740123.tcia
manifestVersion=3.0
ListOfSeriesToDownload=
{UID}
"""


def test_what_is_written_is_the_example(tmp_path):
    path = tmp_path / "manifest-1746549740123.tcia"
    assert write_manifest(path, [UID, UID]) == 1
    assert path.read_text() == EXAMPLE
    assert read_manifest(path) == [UID]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_stray_lines_other_hosts_and_comments(tmp_path):
    path = tmp_path / "x.tcia"
    lines = EXAMPLE.replace("nbia.cancer", "public.cancer").splitlines()
    text = "\r\n".join(["# 1.2.3.4.5.6.7.8", *lines[:6], "Series ID", f" {UID} ", "; 9.9.9.9.9.9.9", UID[:-1]])
    path.write_text(f"\ufeff{text}", encoding="utf-8")
    assert read_manifest(path) == [UID, UID[:-1]]


def test_the_address_of_a_server_is_no_series(tmp_path):
    path = tmp_path / "x.tcia"
    path.write_text(f"downloadServerUrl=http://192.168.100.200/nbia\nListOfSeriesToDownload={UID}\n")
    assert read_manifest(path) == [UID]


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
@pytest.mark.parametrize("column", ["SeriesInstanceUID", "Series UID"])
def test_tables_by_their_header(tmp_path, suffix, separator, column):
    path = tmp_path / f"x{suffix}"
    rows = [["Collection", column, "Study"], ["A, B" if suffix == ".tsv" else "A", UID, "1.2.3.4.5.6.7"], ["B"]]
    path.write_text("\n".join(separator.join(row) for row in rows))
    assert read_manifest(path) == [UID]


def test_a_table_that_is_written_is_read(tmp_path):
    path = tmp_path / "x.csv"
    write_manifest(path, [UID, f"{UID[:-1]}1"])
    assert path.read_text() == f"SeriesInstanceUID\n{UID}\n{UID[:-1]}1\n"
    assert read_manifest(path) == [UID, f"{UID[:-1]}1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"name,drs_uri,participant_id\na,drs://x,1\n", "controlled access"),
        ("x.tsv", b"File ID\tname\n1\ta\n", "controlled access"),
        ("x.csv", b"collection,imageUrl\nA,https://x/y.svs\n", "addresses of files"),
        ("x.csv", b"a,b\n1,2\n", "no column SeriesInstanceUID or Series UID; its columns are a, b"),
        ("x.csv", b"", "no column"),
        ("x.tcia", EXAMPLE.encode()[:200], "names no series"),
        ("x.tcia", b"\xff\xfe\x00\x01", "no text"),
    ],
)
def test_other_files_are_errors_that_say_what_they_are(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_manifest(tmp_path / name)


def test_a_missing_file_and_folder(tmp_path):
    with pytest.raises(SourceError, match="no manifest at"):
        read_manifest(tmp_path / "x.tcia")
    with pytest.raises(SourceError, match="cannot write"):
        write_manifest(tmp_path / "none" / "x.tcia", [UID])
    with pytest.raises(SourceError, match="no series to write"):
        write_manifest(tmp_path / "x.tcia", [])
    assert list(tmp_path.iterdir()) == []
