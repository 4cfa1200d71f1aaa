"""A run is a sequence of headers: whatever is done to it as columns is what is done to the headers one by one."""

from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.header_run import HeaderRun
from medimagenet.dicom.instance import InstanceHeader

VALUES = st.dictionaries(
    st.sampled_from(["Rows", "Modality", "ImagePositionPatient"]),
    st.sampled_from([0, 1, 0.0, -0.0, "CT", "", [0.0, 1.0], [0.0, 2.0]]),
)


def plain(drawn):
    return [
        InstanceHeader(
            file=f"/a/{number}",
            size_bytes=number,
            header_hash=f"h{number}",
            has_pixels=bool(number % 2),
            values={"SeriesInstanceUID": "1.2"} | values,
        )
        for number, values in enumerate(drawn)
    ]


def shown(headers):
    """With every digit and sign, which == does not see."""
    return [(h.file, h.size_bytes, h.header_hash, h.has_pixels, sorted(map(repr, h.values.items()))) for h in headers]


@given(st.lists(VALUES, min_size=1, max_size=6), st.data())
def test_what_goes_in_comes_out(drawn, data):
    headers = plain(drawn)
    run = HeaderRun.of(headers)
    assert shown(run) == shown(headers)
    assert run.common["SeriesInstanceUID"] == "1.2"
    places = data.draw(st.lists(st.integers(0, len(headers) - 1), max_size=4))
    assert shown(run.take(places)) == shown([headers[place] for place in places])
    assert shown(run[1:3]) == shown(headers[1:3])
    cut = data.draw(st.integers(0, len(headers)))
    parts = [HeaderRun.of(part) for part in (headers[:cut], headers[cut:]) if part]
    assert shown(HeaderRun.joined(parts)) == shown(headers)


@given(st.lists(VALUES, min_size=1, max_size=6), st.sampled_from(["Rows", "Modality", "ImagePositionPatient"]))
def test_columns_and_texts(drawn, keyword):
    headers = plain(drawn)
    run = HeaderRun.of(headers)
    assert list(map(repr, run.column(keyword))) == [repr(header.values.get(keyword)) for header in headers]
    texts = [header.text(keyword) for header in headers if keyword in header.values]
    assert set(run.texts(keyword)) == set(texts)
    assert run.texts(keyword)[:1] == texts[:1]


def test_a_run_is_a_run_already():
    run = HeaderRun.of(plain([{}]))
    assert HeaderRun.of(run) is run
    assert HeaderRun.joined([run]) is run
