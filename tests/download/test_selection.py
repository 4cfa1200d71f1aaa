"""Lists of series that others wrote."""

import pytest

from medimagenet.download import select_series
from medimagenet.download.selection import SeriesList, read_list
from medimagenet.errors import SourceError

UID = "1.3.6.1.4.1.14519.5.2.1.200342509692530171737702339931600829926"
UUID = "40db0070-9773-413a-8d7e-c91c37c0006b"
TCIA = f"""downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-1746549740123.tcia
manifestVersion=3.0
ListOfSeriesToDownload=
{UID}
"""


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("m.tcia", TCIA, SeriesList(series_uids=(UID,))),
        ("m.s5cmd", f"# cp s3://b/{'0' * 8}-{UUID[9:]}/* .\ncp s3://idc-open-data/{UUID}/* .\n" * 2, UUID),
        ("m.txt", f'cp "s3://idc-open-data-cr/{UUID}/*" out\n', UUID),
        ("m.csv", f"name,crdc_series_uuid\na,{UUID}\nb,\n", UUID),
        ("m.tsv", f"a\tSeriesInstanceUID\nx\t{UID}\n", SeriesList(series_uids=(UID,))),
        ("m.csv", f"\ufeffSeries UID,x\n{UID},1\n{UID},2\n", SeriesList(series_uids=(UID,))),
        ("m.txt", f"# comment {UID}1\n{UID}\n", SeriesList(series_uids=(UID,))),
    ],
)
def test_forms_of_lists(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    expected = SeriesList(crdc_series_uuids=(found,)) if isinstance(found, str) else found
    assert read_list(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.txt", b"", "names no series"),
        ("m.s5cmd", b"cp s3://bucket/not-a-uuid/* .", "names no series"),
        ("m.csv", b"a,b\n1,2\n", "SeriesInstanceUID"),
        ("m.csv", b"\xff\xfe\0", "it is no text"),
        ("m.tcia", b"\xff\xfe\0", "no text"),
    ],
)
def test_lists_of_nothing(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_list(tmp_path / name)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        read_list(tmp_path / "m.csv")


def test_series_are_looked_up_in_an_index(cloud, tmp_path):
    path = tmp_path / "m.s5cmd"
    path.write_text(f"cp {cloud.records[1].uri}* .\n")
    assert select_series(cloud.index, path).rows() == cloud.index.rows()[1:]
    other = tmp_path / "m.csv"
    uids = [record.SeriesInstanceUID for record in cloud.records]
    other.write_text("SeriesInstanceUID\n" + "\n".join(uids))
    assert select_series(cloud.index, other).rows() == cloud.index.rows()


def test_of_two_archives_that_have_a_series_idc_is_asked(cloud, tmp_path):
    uid = cloud.records[0].SeriesInstanceUID
    cloud.records[1] = cloud.changed(cloud.records[1], SeriesInstanceUID=uid, source="tcia")
    cloud.add(3, source="tcia")
    (tmp_path / "m.csv").write_text(f"SeriesInstanceUID\n{uid}\n{cloud.records[2].SeriesInstanceUID}\n")
    found = select_series(cloud.index, tmp_path / "m.csv").rows()
    assert [row["key"] for row in found] == [cloud.records[0].key, cloud.records[2].key]


def test_series_that_no_index_knows_are_an_error(cloud, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(f"SeriesInstanceUID\n{cloud.records[0].SeriesInstanceUID}\n{UID}\n")
    with pytest.raises(SourceError, match=rf"1 of 2 series of .*m.csv are not in the index, .* {UID}"):
        select_series(cloud.index, path)
