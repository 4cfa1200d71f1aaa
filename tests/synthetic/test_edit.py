"""Editing a written file changes what was meant and nothing else."""

import pydicom
import pytest

from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient
from medimagenet.synthetic.edit import edited, leading_slices, next_uid


def test_an_edit_without_a_change_keeps_the_bytes(upright, tmp_path):
    for modality in ("CT", "RTSTRUCT"):
        copy = tmp_path / modality
        copy.write_bytes(upright.paths[modality][0].read_bytes())
        with edited(copy):
            pass
        assert copy.read_bytes() == upright.paths[modality][0].read_bytes()


def test_a_new_uid_goes_to_the_meta_group_too(upright, tmp_path):
    copy = tmp_path / "slice"
    copy.write_bytes(upright.paths["CT"][0].read_bytes())
    with edited(copy) as ds:
        ds.SOPInstanceUID = next_uid(ds.SOPInstanceUID, "twin")
    ds = pydicom.dcmread(copy)
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID != upright.paths["CT"][0]


def test_a_stack_too_small_for_defects_is_named(tmp_path):
    truth = write_patient(tmp_path, grid=Grid((12, 10, 4), (20.0, 20.0, 25.0)), modalities=("CT",))
    with pytest.raises(ValueError, match="at least 5 slices, CT has 4"):
        leading_slices(truth)
