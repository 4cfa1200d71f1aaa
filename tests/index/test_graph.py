"""What annotations were made from, on records that are made by hand."""

import pytest

from medimagenet.index.graph import Graph, nearness, preference
from medimagenet.index.schema import to_row


def keys(rows):
    return sorted(row["key"] for row in rows)


@pytest.fixture
def chain(make_record, make_object):
    """CT <- RTSTRUCT <- RTPLAN <- RTDOSE, rows by key."""
    records = [
        make_record("ct", "CT", "1.2"),
        make_object("rs", "RTSTRUCT", series=["1.2"]),
        make_object("rp", "RTPLAN", series=["2.rs"], instances=["3.rs"]),
        make_object("rd", "RTDOSE", series=["2.rp"], instances=["3.rp"]),
    ]
    return {record.key: to_row(record) for record in records}


def test_sources_are_direct_and_origins_go_through(chain):
    graph = Graph(chain.values())
    assert keys(graph.sources(chain["rd"])) == ["rp"]
    assert keys(graph.origins(chain["rd"]).values()) == ["ct", "rp", "rs"]
    assert keys(graph.origins(chain["rs"]).values()) == ["ct"]
    assert graph.origins(chain["ct"]) == {}
    assert graph.is_annotated(chain["ct"], "RTDOSE")
    assert not graph.is_annotated(chain["ct"], "SEG")


def test_a_circle_of_references_ends(make_object):
    one = to_row(make_object("one", "RTPLAN", instances=["3.two"]))
    two = to_row(make_object("two", "RTDOSE", instances=["3.one"]))
    assert keys(Graph([one, two]).origins(one).values()) == ["one", "two"]


def test_an_object_that_refers_to_itself(make_object):
    row = to_row(make_object("one", "RTSTRUCT", series=["2.one"]))
    assert Graph([row]).origins(row) == {}


def test_of_copies_the_nearest(make_record, make_object):
    copies = [to_row(make_record(tree, "CT", "1.2", f"{tree}/ct")) for tree in "ab"]
    for tree in "ab":
        struct = to_row(make_object("rs", "RTSTRUCT", place=f"{tree}/rs", series=["1.2"]))
        assert keys(Graph([*copies, struct]).sources(struct)) == [tree]
        assert keys(Graph([*copies[::-1], struct]).sources(struct)) == [tree]


def test_frames_are_of_one_patient(make_record):
    rows = [
        to_row(make_record("ct", "CT", "1.2")),
        to_row(make_record("pt", "PT", "1.3")),
        to_row(make_record("other frame", "PT", "1.4", FrameOfReferenceUID="1.8")),
        to_row(make_record("other patient", "PT", "1.5", PatientID="q")),
        to_row(make_record("no frame", "PT", "1.6", FrameOfReferenceUID=None)),
    ]
    graph = Graph(rows)
    assert keys(graph.in_frame(rows[0], "PT")) == ["pt"]
    assert keys(graph.in_frame(rows[0], "CT")) == []
    assert keys(graph.in_frame(rows[4], "PT")) == []


def test_nearness_counts_folders(make_record):
    one, two, three = (to_row(make_record("k", "CT", "1", place)) for place in ("a/b", "a/bc", "a/b/d"))
    assert (nearness(one, two), nearness(one, three), nearness(one, one)) == (3, 4, 4)


def test_preference_in_the_order_of_its_rules(make_record):
    lead = to_row(make_record("lead", "CT", "1.0", "a/b"))
    last = {"PatientID": "q", "StudyInstanceUID": "1.9", "place": "z", "n_instances": 1, "series": "1.9"}
    better = {"PatientID": "p", "StudyInstanceUID": "1.1", "place": "a/x", "n_instances": 9, "series": "1.2"}
    ladder = [dict(list(better.items())[:n]) | dict(list(last.items())[n:]) for n in range(len(last) + 1)]
    rows = [
        to_row(
            make_record(
                str(n), "PT", step["series"], step["place"],
                PatientID=step["PatientID"], StudyInstanceUID=step["StudyInstanceUID"], n_instances=step["n_instances"],
            )
        )
        for n, step in enumerate(ladder)
    ]  # fmt: skip
    assert keys([min(rows[: n + 1], key=lambda row: preference(row, lead)) for n in range(len(rows))]) == keys(rows)
