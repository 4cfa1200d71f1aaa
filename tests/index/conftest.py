"""Records made by hand."""

import pytest

from medimagenet.sources import SeriesRecord

SLICES = {"n_instances": 20, "FrameOfReferenceUID": "1.7"}


@pytest.fixture
def make_record():
    """Function that gives a record: key, modality, series UID, place below /data, other fields."""

    def make(key, modality, series, place="", **fields):
        common = {
            "source": "folder",
            "PatientID": "p",
            "StudyInstanceUID": "1.1",
            "FrameOfReferenceUID": "1.7",
            "files": (f"{key}.dcm",),
            "n_instances": 1,
            "size_bytes": 100,
            "content_hash": f"hash {key}",
            "uri": f"/data/{place}".rstrip("/"),
        }
        return SeriesRecord(**(common | {"key": key, "Modality": modality, "SeriesInstanceUID": series} | fields))

    return make


@pytest.fixture
def make_object(make_record):
    """Function that gives the record of an RTSTRUCT, SEG, RTPLAN or RTDOSE, whose UIDs are 2.KEY and 3.KEY."""

    def make(key, modality, *, place="", series=(), instances=(), **fields):
        references = {"referenced_series": tuple(series), "referenced_instances": tuple(instances)}
        return make_record(key, modality, f"2.{key}", place, **({"SOPInstanceUID": f"3.{key}"} | references | fields))

    return make
