"""Collections of the public index against the table that IDC publishes (sources of version 25) and raw counts."""

import pyarrow.compute as pc
import pyarrow.parquet as pq

from medimagenet.index import Index, list_collections, open_index
from medimagenet.index.collections import collections_of_cancer
from medimagenet.sources.idc import installed_file


def test_public_collections():
    names = ["collection_id", "PatientID", "Modality", "license_short_name"]
    raw = pq.read_table(installed_file("idc_index"), columns=names)
    found = {item.collection_id: item for item in list_collections(open_index())}
    assert sorted(found) == sorted(pc.unique(raw["collection_id"]).to_pylist())
    counts = raw.group_by("collection_id").aggregate([("PatientID", "count_distinct"), ("Modality", "count")])
    for row in counts.to_pylist():
        item = found[row["collection_id"]]
        assert (item.patients, item.series) == (row["PatientID_count_distinct"], row["Modality_count"])
    lung = found["nsclc_radiomics"]
    assert lung.title == "NSCLC-Radiomics"
    assert (lung.cancer_types, lung.patients) == ("Lung Cancer", 422)
    assert lung.modalities == ("CT", "RTSTRUCT", "SEG", "SR")
    assert lung.licenses == ("CC BY-NC 3.0", "CC BY 4.0")
    assert not lung.commercial
    assert lung.sources[0].doi == "10.7937/k9/tcia.2015.pf0m9rei"
    assert "Lambin, P. (2019). Data From NSCLC-Radiomics (Version 4) [Data set]" in lung.sources[0].citation
    assert found["lctsc"].commercial


def test_collections_of_a_folder(make_record):
    records = [make_record("a", "CT", "1.2", collection_id="mine"), make_record("b", "CT", "1.3")]
    (mine,) = list_collections(Index.from_records(records))
    assert (mine.collection_id, mine.series, mine.title, mine.sources) == ("mine", 1, None, ())
    assert mine.licenses == (None,)
    assert not mine.commercial


def test_cancer_types_are_listed():
    found, known = collections_of_cancer("no such cancer")
    assert found == []
    assert {"Lung Cancer", "Uveal Melanoma"} <= set(known)
