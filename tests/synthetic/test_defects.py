"""The registry: every defect has a description, a finding and a test, and most leave sound objects behind."""

from pathlib import Path

import pytest

from medimagenet.findings import SEVERITY
from medimagenet.geometry import Grid
from medimagenet.synthetic import DEFECTS, write_patient

GRID = Grid((16, 14, 9), (15.0, 15.0, 20.0))
NOT_CONFORMING = {  # a defect of the format itself
    "no_position": "an attribute of type 1 is gone",
    "no_reference": "the frame of reference is gone",
    "not_dicom": "not DICOM",
    "not_monochrome": "a CT has no colours",
    "truncated_file": "cut",
    "unreadable_file": "spoilt",
}


def test_every_defect_says_what_it_does_and_what_should_be_found():
    for name, defect in DEFECTS.items():
        assert defect.name == name
        assert defect.description.endswith("."), name
        assert defect.finding in SEVERITY or (name, defect.finding) == ("shuffled_names", None)


def test_every_defect_has_a_test():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*_defects.py"))
    assert [name for name in DEFECTS if f'planted("{name}"' not in text and f'("{name}",' not in text] == []


@pytest.mark.parametrize("name", [name for name in DEFECTS if name not in NOT_CONFORMING])
def test_each_object_is_still_sound_by_itself(name, tmp_path, dciodvfy):
    image = DEFECTS[name].needs if DEFECTS[name].needs in ("CT", "PT") else "CT"
    truth = write_patient(tmp_path, grid=GRID, modalities=(image, "RTSTRUCT"), defects=(name,))
    errors = {path.name: dciodvfy(path) for path in truth.folder.rglob("*.dcm")}
    assert {path: found for path, found in errors.items() if found} == {}
