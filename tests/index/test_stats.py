"""Counts. Judges: pyarrow on the installed file, and the figures that IDC publishes of version 25."""

import pyarrow.compute as pc
import pyarrow.parquet as pq

from medimagenet.index import Index, open_index
from medimagenet.sources.idc import installed_file


def test_public_counts():
    names = ["collection_id", "PatientID", "StudyInstanceUID", "Modality", "instanceCount", "license_short_name"]
    raw = pq.read_table(installed_file("idc_index"), columns=names)
    stats = open_index().stats()
    assert stats.series == len(raw)
    assert stats.collections == pc.count_distinct(raw["collection_id"]).as_py()
    assert stats.studies == pc.count_distinct(raw["StudyInstanceUID"]).as_py()
    assert stats.instances == pc.sum(raw["instanceCount"]).as_py()
    assert stats.patients == len(raw.group_by(["collection_id", "PatientID"]).aggregate([]))
    by_modality = {item["values"]: item["counts"] for item in pc.value_counts(raw["Modality"]).to_pylist()}
    assert {item.modality: item.series for item in stats.modalities} == by_modality
    by_license = {item["values"]: item["counts"] for item in pc.value_counts(raw["license_short_name"]).to_pylist()}
    assert {item.license: item.series for item in stats.licenses} == by_license
    assert {item.license for item in stats.licenses if item.commercial} == {"CC BY 3.0", "CC BY 4.0"}


def test_an_empty_index():
    stats = Index.from_records([]).stats()
    assert (stats.series, stats.patients, stats.size_bytes, stats.modalities, stats.licenses) == (0, 0, 0, (), ())


def test_rows_without_collection_modality_or_license(make_record):
    stats = Index.from_records([make_record("a", None, "1.2"), make_record("b", "CT", "1.3", PatientID=None)]).stats()
    assert (stats.series, stats.patients, stats.collections) == (2, 2, 0)
    assert [(item.license, item.commercial, item.series) for item in stats.licenses] == [(None, False, 2)]
    assert {item.modality for item in stats.modalities} == {None, "CT"}
