"""The record and the protocol."""

from dataclasses import FrozenInstanceError, fields

import pytest

from medimagenet.sources import Folder, SeriesRecord, Source


def test_a_folder_is_a_source(tmp_path):
    source: Source = Folder(tmp_path)  # the type checker judges this line
    assert source.name == "folder"


def test_dicom_has_its_keywords_and_the_rest_is_snake_case():
    import pydicom.datadict

    for field in fields(SeriesRecord):
        is_keyword = pydicom.datadict.tag_for_keyword(field.name) is not None
        assert is_keyword or field.name == field.name.lower()


def test_records_do_not_change():
    record = SeriesRecord(
        key="k", source="folder", SeriesInstanceUID="1", uri="/", files=(), n_instances=0, size_bytes=0, content_hash=""
    )
    with pytest.raises(FrozenInstanceError):
        record.key = "other"
