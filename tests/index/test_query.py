"""Searches. Judge for the public index: pyarrow.compute on the installed Parquet file, without our code or SQL."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from medimagenet.index import Index, open_index
from medimagenet.index.query import Filters, conditions_for
from medimagenet.sources.idc import installed_file


@pytest.fixture(scope="module")
def public():
    """The whole public index: about ten seconds where the user's cache does not have it yet."""
    return open_index()


@pytest.fixture(scope="module")
def raw():
    names = ("collection_id", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined", "PatientSex")
    names += ("Manufacturer", "ManufacturerModelName", "license_short_name", "instanceCount", "PatientAge")
    names += ("SeriesDescription", "StudyDescription")
    return pq.read_table(installed_file("idc_index"), columns=list(names))


def has(column, *values):
    return pc.is_in(column, value_set=pc.cast(list(values), column.type))


def years(text):
    """Age as DICOM PS3.5 6.2 writes it, in years; None for anything else."""
    unit = {"Y": 1, "M": 12, "W": 52.1775, "D": 365.2425}.get((text or " ")[-1].upper())
    return int(text[:-1]) / unit if unit and text[:-1].isdigit() else None


def contains(raw, word):
    columns = ("SeriesDescription", "StudyDescription", "BodyPartExamined", "ManufacturerModelName", "collection_id")
    found = [pc.fill_null(pc.match_substring(raw[name], word, ignore_case=True), False) for name in columns]
    return pc.or_(pc.or_(pc.or_(found[0], found[1]), pc.or_(found[2], found[3])), found[4])


JUDGES = {
    "modality": ({"modality": ["ct", "PT"]}, lambda t: has(t["Modality"], "CT", "PT")),
    "modalities": ({"modality": "ct, PT"}, lambda t: has(t["Modality"], "CT", "PT")),
    "a value with a comma": (
        {"manufacturer": "hologic, inc."},
        lambda t: pc.match_substring(t["Manufacturer"], "hologic, inc.", ignore_case=True),
    ),
    "collections": (
        {"collection": ["lctsc,nsclc-radiomics", "4d_lung"]},
        lambda t: has(t["collection_id"], "lctsc", "nsclc_radiomics", "4d_lung"),
    ),
    "collection": ({"collection": "NSCLC-Radiomics"}, lambda t: pc.equal(t["collection_id"], "nsclc_radiomics")),
    "body_part": ({"body_part": "breast"}, lambda t: pc.equal(t["BodyPartExamined"], "BREAST")),
    "sex": ({"sex": "female"}, lambda t: pc.equal(t["PatientSex"], "F")),
    "min_slices": ({"min_slices": 300}, lambda t: pc.greater_equal(t["instanceCount"], 300)),
    "manufacturer": (
        {"manufacturer": "siemens"},
        lambda t: pc.match_substring(t["Manufacturer"], "siemens", ignore_case=True),
    ),
    "license": ({"license": "cc-by-nc"}, lambda t: pc.starts_with(t["license_short_name"], "CC BY-NC ")),
    "commercial": ({"license": "commercial"}, lambda t: has(t["license_short_name"], "CC BY 3.0", "CC BY 4.0")),
    "text": ({"text": "Liver arterial"}, lambda t: pc.and_(contains(t, "liver"), contains(t, "arterial"))),
    "text with signs": ({"text": "t1_"}, lambda t: contains(t, "t1_")),
}


@pytest.mark.parametrize("name", JUDGES)
def test_public_filters(public, raw, name):
    filters, judge = JUDGES[name]
    expected = raw.filter(judge(raw))["SeriesInstanceUID"].to_pylist()
    found = public.search(**filters).sql("SELECT SeriesInstanceUID FROM series")["SeriesInstanceUID"].to_pylist()
    assert len(found) > 0
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("bounds", [(18, 80), (None, 1), (90, None), (0, 0.1)])
def test_public_age(public, raw, bounds):
    low, high = bounds[0] or 0, 999 if bounds[1] is None else bounds[1]
    ages = [years(text) for text in raw["PatientAge"].to_pylist()]
    assert len(public.search(age=bounds)) == sum(age is not None and low <= age <= high for age in ages) > 0


def test_public_annotated_is_by_study(public, raw):
    studies = raw.filter(pc.equal(raw["Modality"], "RTSTRUCT"))["StudyInstanceUID"]
    judge = pc.and_(pc.is_in(raw["StudyInstanceUID"], value_set=studies.combine_chunks()), has(raw["Modality"], "CT"))
    assert len(public.search(modality="CT", annotated_by="RTSTRUCT")) == pc.sum(judge).as_py() > 4000


def test_public_cancer(public):
    told = pq.read_table(installed_file("collections_index"), columns=["collection_id", "cancer_types"]).to_pylist()
    expected = {row["collection_id"] for row in told if "melanoma" in (row["cancer_types"] or "").lower()}
    found = {row[0] for row in public.search(cancer="Melanoma").fetch("SELECT DISTINCT collection_id FROM series")}
    assert len(expected) > 3
    assert found == expected


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"modality": "PET"}, "unknown modality 'PET': did you mean 'PT'"),
        ({"collection": "nsclc radiomic"}, "did you mean 'nsclc_radiomics'"),
        ({"manufacturer": "simens"}, "did you mean 'Siemens'|did you mean 'SIEMENS'"),
        ({"body_part": "cheest"}, "did you mean 'CHEST'"),
        ({"cancer": "lnug"}, "did you mean '.*Lung"),
        ({"sex": "x"}, "unknown sex 'x': "),
        ({"license": "BSD"}, "unknown license 'BSD'"),
        ({"annotated_by": "RTSTRUC"}, "did you mean 'RTSTRUCT'"),
        ({"annotated_by": "CT"}, "unknown modality of annotations 'CT'"),
        ({"modalty": "CT"}, "unknown filter 'modalty': did you mean 'modality'"),
        ({"age": (80, 18)}, r"got \(80, 18\)"),
        ({"age": 18}, "two numbers, the lowest and the highest, got 18"),
        ({"age": (-1, 3)}, "neither below 0"),
        ({"age": (float("nan"), 3)}, "got .nan, 3."),
        ({"min_slices": -1}, "got -1"),
        ({"min_slices": "many"}, "got 'many'"),
        ({"text": " "}, "words to look for, got ' '"),
        ({"modality": []}, "got \\[\\]"),
        ({"modality": [3]}, "got \\[3\\]"),
        ({"roi": "gtv"}, "side indices rtstruct_index, seg_index, not here yet"),
        ({"slice_thickness": (0, 3)}, "side indices ct_index, mr_index, pt_index, not here yet"),
    ],
)
def test_what_is_not_known_is_answered_with_what_is(public, filters, says):
    with pytest.raises(ValueError, match=says):
        public.search(**filters)


@pytest.fixture
def local(make_record, make_object):
    """Two CTs: thin with an RTSTRUCT, thick without; a PT of another study, with an RTSTRUCT that names no series."""
    return Index.from_records(
        [
            make_record("thin", "CT", "1.2", SliceThickness=1.5, shape=(30, 8, 8), PatientAge="034Y", PatientSex="F"),
            make_record(
                "thick", "CT", "1.3", SliceThickness=5.0, n_instances=9, PatientAge="006M", license="CC-BY-4.0"
            ),
            make_record(
                "pt", "PT", "1.4", n_instances=20, StudyInstanceUID="1.9", license="CC BY-NC 3.0", Manufacturer="it's"
            ),
            make_object("rs", "RTSTRUCT", series=["1.2"], roi_names=("GTV-1", "Lung"), n_instances=1),
            make_object("loose", "RTSTRUCT", StudyInstanceUID="1.9", roi_names=("heart",), n_instances=1),
        ]
    )


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({}, ["thin", "thick", "pt", "rs", "loose"]),
        ({"modality": None}, ["thin", "thick", "pt", "rs", "loose"]),
        ({"slice_thickness": (0, 3)}, ["thin"]),
        ({"slice_thickness": (None, None)}, ["thin", "thick"]),
        ({"slice_thickness": (1.5, 1.5)}, ["thin"]),
        ({"min_slices": 10}, ["thin", "pt"]),  # the PT has 20 instances and no shape
        ({"age": (0, 1)}, ["thick"]),
        ({"annotated_by": "RTSTRUCT"}, ["thin", "pt"]),
        ({"annotated_by": "RTSTRUCT", "roi": "gtv.*"}, ["thin"]),
        ({"annotated_by": "rtstruct", "roi": "HEART", "modality": "PT"}, ["pt"]),
        ({"annotated_by": ["SEG", "RTSTRUCT"], "roi": "lung"}, ["thin"]),
        ({"annotated_by": "SEG"}, []),
        ({"annotated_by": "seg,rtstruct", "modality": "CT,PT"}, ["thin", "pt"]),
        ({"license": "commercial, CC BY-NC"}, ["thick", "pt"]),
        ({"roi": "gtv.*|heart"}, ["rs", "loose"]),
        ({"license": "commercial"}, ["thick"]),
        ({"license": "cc by"}, ["thick"]),
        ({"manufacturer": "it's"}, ["pt"]),
        ({"modality": "MR"}, []),  # DICOM knows it, this index has none
        ({"sex": "male"}, []),
    ],
)
def test_local_filters(local, filters, keys):
    found = local.search(**filters)
    assert [row["key"] for row in found.rows()] == keys
    assert len(found) == len(keys)


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"roi": "gtv"}, "unknown roi 'gtv': did you mean 'GTV-1'"),
        ({"roi": "("}, "'\\(' is not a regular expression"),
        ({"body_part": "chest"}, "the index names none"),
        ({"modality": "CT,PETT"}, "unknown modality 'PETT'"),
        ({"modality": ","}, "unknown modality ','"),
    ],
)
def test_local_errors(local, filters, says):
    with pytest.raises(ValueError, match=says):
        local.search(**filters)


def test_a_search_of_a_search_is_both(local):
    once = local.search(modality="CT", annotated_by="RTSTRUCT")
    assert [row["key"] for row in local.search(modality="CT").search(annotated_by="RTSTRUCT").rows()] == ["thin"]
    assert once.table.schema == local.table.schema


def test_every_filter_is_documented_and_understood(local):
    assert set(Filters.__annotations__) == {
        *("modality", "collection", "body_part", "cancer", "sex", "age", "manufacturer", "slice_thickness"),
        *("min_slices", "annotated_by", "roi", "license", "text"),
    }
    assert conditions_for(local._rows, dict.fromkeys(Filters.__annotations__)) == ()
