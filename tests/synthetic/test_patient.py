"""One patient: what is written, whole or not at all, and what is refused."""

from dataclasses import replace

import pytest

from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient
from medimagenet.synthetic.patient import complete_modalities

SMALL = Grid((12, 10, 6), (20.0, 20.0, 25.0))


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (("CT",), ("CT",)),
        (("PT", "CT"), ("PT", "CT")),
        (("RTSTRUCT",), ("CT", "RTSTRUCT")),
        (("RTDOSE", "MR"), ("MR", "RTSTRUCT", "RTPLAN", "RTDOSE")),
        (("SEG", "CT", "CT"), ("CT", "SEG")),
    ],
)
def test_what_is_referred_to_is_written_too(asked, written):
    assert complete_modalities(asked) == written


def test_only_what_was_asked_is_there(tmp_path):
    truth = write_patient(tmp_path, "one", grid=SMALL, modalities=("PT", "CT"))
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {path for files in truth.paths.values() for path in files}
    assert {name: len(files) for name, files in truth.paths.items()} == {"PT": 6, "CT": 6}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_grid_of_its_own_for_a_modality(tmp_path):
    own = replace(SMALL, spacing=(21.0, 19.0, 24.0))
    truth = write_patient(tmp_path, grid=SMALL, grids={"MR": own}, modalities=("CT", "MR"))
    assert truth.grids == {"CT": SMALL, "MR": own}


def test_a_taken_folder_is_left_alone(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match="one exists"):
        write_patient(tmp_path, "one", grid=SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["one", "mine"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("medimagenet.synthetic.rtstruct.write_dataset", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_patient(tmp_path, grid=SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ("PET",)}, r"'PET'; there are CT, MR, PT, RTSTRUCT"),
        ({"defects": ("holes",)}, r"unknown defect 'holes'; there are missing_slices"),
        ({"defects": ("suv_not_computable",)}, r"needs modality PT, written are CT, RTSTRUCT"),
        ({"annotate": ("MR",)}, r"cannot annotate 'MR'"),
        ({"annotate": ("RTSTRUCT",)}, r"cannot annotate 'RTSTRUCT'"),
        ({"grid": replace(SMALL, direction=((-1, 0, 0), (0, 1, 0), (0, 0, 1)))}, "right-handed"),
        ({"noise": -1.0}, r"noise .* -1\.0"),
        ({"patient_id": "a/b"}, r"'a/b'"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_patient(tmp_path, **{"grid": SMALL, **options})
    assert list(tmp_path.iterdir()) == []
