"""A cohort: the same bytes from one process and two, from run to run; patients differ; defects go where they should."""

import hashlib
import subprocess
import sys

import pytest

from medimagenet.synthetic import write_patients

SMALL = {"size": (20, 18, 8), "spacing": (14.0, 14.0, 28.0), "modalities": ("CT", "PT", "RTSTRUCT", "SEG", "RTDOSE")}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_bytes_depend_on_the_arguments_alone(tmp_path):
    done = []
    serial = write_patients(
        tmp_path / "a", 3, seed=1, jobs=1, progress=lambda done_, total: done.append((done_, total)), **SMALL
    )
    write_patients(tmp_path / "b", 2, seed=1, jobs=2, **SMALL)
    write_patients(tmp_path / "c", 2, seed=2, jobs=1, **SMALL)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert again == {name: digest for name, digest in first.items() if not name.startswith("SYN-0003")}
    assert set(other) == set(again)
    assert not set(other.values()) & set(again.values())
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert [truth.patient_id for truth in serial] == ["SYN-0001", "SYN-0002", "SYN-0003"]
    assert len({truth.volumes_mm3["GTV"] for truth in serial}) == 3
    assert all(path.is_file() for truth in serial for files in truth.paths.values() for path in files)


def test_bytes_are_the_same_in_a_new_process(tmp_path):
    write_patients(tmp_path / "here", 1, **SMALL)
    program = (
        f"from medimagenet.synthetic import write_patients; write_patients({str(tmp_path / 'there')!r}, 1, **{SMALL})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env={"PYTHONHASHSEED": "77"})
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def test_the_first_patients_get_the_defects(tmp_path):
    small = {**SMALL, "modalities": ("CT",)}
    truths = write_patients(tmp_path, 3, jobs=1, defects=("missing_slices", "not_dicom"), **small)
    assert [truth.defects for truth in truths] == [("missing_slices",), ("not_dicom",), ()]
    counts = [sum(path.is_file() for path in truth.folder.rglob("*")) for truth in truths]
    assert counts == [7, 12, 8]


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [(0, {}, "n=0"), (1, {"jobs": 0}, "jobs=0"), (1, {"defects": ("not_dicom", "gantry_tilt")}, "2 defects .* n=1")],
)
def test_wrong_counts_are_named(tmp_path, n, options, message):
    with pytest.raises(ValueError, match=message):
        write_patients(tmp_path, n, **options)
