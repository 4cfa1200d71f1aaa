"""What objects refer to, resolved among headers that are made by hand."""

from medimagenet.sources.grouping import Group
from medimagenet.sources.references import MOST_UNRESOLVED, Resolver


def resolve(header, *others):
    resolver = Resolver([header])
    resolver.learn([header, *others])
    return resolver.resolve(Group((header,)))


def test_series_that_are_named_are_taken_whether_here_or_not(make_header):
    struct = make_header("s", "1.4", Modality="RTSTRUCT", ReferencedSeriesUIDs=["1.2", "1.8"])
    references = resolve(struct)
    assert (references.series, references.instances, references.findings) == (("1.2", "1.8"), (), ())


def test_instances_lead_to_their_series(make_header):
    images = [make_header(f"{n}", f"1.3.{n}", SeriesInstanceUID=f"1.{n % 2}") for n in range(4)]
    seg = make_header("s", "1.4", Modality="SEG", ReferencedSOPInstanceUIDs=["1.3.1", "1.3.3", "1.3.2"])
    references = resolve(seg, *images)
    assert (references.series, references.instances) == (("1.1", "1.0"), ())


def test_a_dose_keeps_its_plan_by_instance(make_header):
    plan = make_header("p", "1.5", Modality="RTPLAN", SeriesInstanceUID="1.50")
    dose = make_header("d", "1.6", Modality="RTDOSE", ReferencedSOPInstanceUIDs=["1.5"])
    references = resolve(dose, plan)
    assert (references.series, references.instances) == (("1.50",), ("1.5",))


def test_images_that_are_partly_here(make_header):
    uids = [f"1.3.{n}" for n in range(5)]
    struct = make_header("s", "1.4", Modality="RTSTRUCT", ReferencedSeriesUIDs=["1.2"], ReferencedSOPInstanceUIDs=uids)
    images = [make_header(f"{n}", f"1.3.{n}") for n in range(2)]
    (finding,) = resolve(struct, *images).findings
    assert finding.code == "dangling_reference"
    assert finding.numbers == {"images": 3, "of": 5}
    assert resolve(struct, *[make_header(uid, uid) for uid in uids]).findings == ()
    assert resolve(struct).findings == ()  # the series is absent: that is told by the index


def test_unresolved_instances_are_kept_up_to_a_bound(make_header):
    uids = [f"1.3.{n}" for n in range(100)]
    references = resolve(make_header("s", "1.4", Modality="SEG", ReferencedSOPInstanceUIDs=uids))
    assert references.series == ()
    assert references.instances == tuple(uids[:MOST_UNRESOLVED])


def test_slices_have_the_series_they_name(make_header):
    image = make_header("i", "1.3", ReferencedSeriesUIDs=["1.9"], ReferencedSOPInstanceUIDs=["1.9.1"])
    assert resolve(image).series == ("1.9",)
    assert resolve(make_header("i", "1.3")).series == ()
