"""Cohorts: pyarrow and Python count the public ones, records made by hand the others."""

from collections import Counter, defaultdict
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from medimagenet.index import Index, check_cohort, open_index
from medimagenet.sources.idc import installed_file

ASKED = ("CT", "PT", "RTSTRUCT")


def test_public_cohort():
    names = ["collection_id", "PatientID", "StudyInstanceUID", "Modality", "instanceCount", "series_size_MB"]
    raw = pq.read_table(
        installed_file("idc_index"), columns=names, filters=[("collection_id", "==", "soft_tissue_sarcoma")]
    ).to_pylist()
    studies = defaultdict(list)
    for row in raw:
        if row["Modality"] in ASKED:
            studies[row["StudyInstanceUID"]].append(row)
    sets = {uid: tuple(sorted({row["Modality"] for row in rows})) for uid, rows in studies.items()}
    complete = [row for uid, rows in studies.items() if sets[uid] == ASKED for row in rows]
    cohort = check_cohort(open_index().search(collection="soft_tissue_sarcoma"), ASKED, rois={"gtv": ["gtv.*"]})
    assert cohort.studies == sum(found == ASKED for found in sets.values()) > 0
    assert cohort.patients == len({row["PatientID"] for row in complete})
    assert cohort.series == len(complete)
    assert cohort.instances == sum(row["instanceCount"] for row in complete)
    assert cohort.size_bytes == sum(round(row["series_size_MB"] * 1e6) for row in complete)
    assert {item.modalities: item.studies for item in cohort.modality_sets} == Counter(sets.values())
    assert [(item.license, item.series) for item in cohort.licenses] == [("CC BY 3.0", len(complete))]
    assert cohort.commercial
    assert cohort.samples is cohort.volumes is cohort.rois is None
    assert [sentence.split(":")[0] for sentence in cohort.unknown] == [
        *("samples", "samples", "regular volumes", "ROI names", "PET that can be given as SUV"),
    ]
    assert all("medimagenet update --side" in sentence for sentence in cohort.unknown[1:])


@pytest.fixture
def local(make_record, make_object):
    nc = {"license": "CC BY-NC 4.0"}
    return Index.from_records(
        [
            make_record("ct", "CT", "1.2", shape=(30, 8, 8), license="CC BY 4.0"),
            make_object("rs", "RTSTRUCT", series=["1.2"], roi_names=("GTV-1", "Lung", "Lung"), **nc),
            make_object("r2", "RTSTRUCT", series=["1.2"], roi_names=("Lung", "Cord"), license="CC BY 4.0"),
            make_record("other", "CT", "1.3", StudyInstanceUID="1.9", FrameOfReferenceUID="1.8"),
        ]
    )


def test_local_cohort(local):
    cohort = check_cohort(local, "CT,RTSTRUCT", rois={"gtv": ["gtv.*"]})
    assert (cohort.patients, cohort.studies, cohort.series, cohort.samples, cohort.volumes) == (1, 1, 3, 1, 1)
    assert [(item.modalities, item.studies) for item in cohort.modality_sets] == [(("CT",), 1), (("CT", "RTSTRUCT"), 1)]
    assert [item.license for item in cohort.licenses] == ["CC BY-NC 4.0", "CC BY 4.0"]
    assert not cohort.commercial
    assert (cohort.rois.annotations, cohort.rois.matching) == (2, 1)
    assert cohort.rois.unused == (("Lung", 2), ("Cord", 1))
    assert cohort.unknown == ()


def test_nothing_is_found(local):
    cohort = check_cohort(local, "MR,SEG")
    assert (cohort.patients, cohort.series, cohort.size_bytes, cohort.samples, cohort.volumes) == (0, 0, 0, 0, 0)
    assert not cohort.commercial
    assert cohort.modality_sets == cohort.licenses == ()


def test_modalities_that_no_sample_can_have(local):
    with pytest.raises(ValueError, match="DICOM calls it PT"):
        check_cohort(local, "CT,PET")


def test_a_modality_that_nobody_knows(local):
    with pytest.raises(ValueError, match="unknown modality 'XX'"):
        check_cohort(local, "CT,XX")
    assert check_cohort(local, "CT,OPT").series == 0  # DICOM knows it


def test_public_rows_in_a_file_say_what_they_were_not_told(make_record, make_object, tmp_path):
    public = {"source": "idc", "crdc_series_uuid": "u"}
    told = [
        make_record("ct", "CT", "1.2", shape=(30, 8, 8), orientation="LPS", SliceThickness=3.0, **public),
        make_object("rs", "RTSTRUCT", series=["1.2"], roi_names=("GTV-1",), **public),
    ]
    untold = [
        replace(told[0], shape=None, orientation=None, SliceThickness=None),
        replace(told[1], referenced_series=None, roi_names=None),
    ]
    for records, known in ((told, True), (untold, False)):
        path = tmp_path / f"{known}.parquet"
        Index.from_records(records).write(path)
        cohort = check_cohort(open_index(path), "CT,RTSTRUCT", rois={"gtv": ["gtv.*"]})
        assert (cohort.samples, cohort.volumes) == ((1, 1) if known else (None, None))
        assert (cohort.rois is not None) is known
        assert bool(cohort.unknown) is not known
        assert any("write it anew" in sentence for sentence in cohort.unknown) is not known


def test_an_archive_that_tells_no_geometry(make_record, make_object):
    there = {"source": "tcia", "files": ()}
    ct = make_record("ct", "CT", "1.2", n_instances=30, **there)
    cohort = check_cohort(
        Index.from_records([ct, make_object("rs", "RTSTRUCT", series=("1.2",), **there)]), "CT,RTSTRUCT"
    )
    assert (cohort.samples, cohort.volumes) == (1, None)
    assert cohort.unknown == ("regular volumes: 1 series are not here, and their archive does not tell: download them",)
