"""Damaged bytes are read right, refused or reported; nothing crashes, hangs or grows. A seed is one damaged input.

Long runs: ``make test-fuzz FUZZ_SECONDS=3600``. A failure names its seed; MEDIMAGENET_FUZZ_SEED begins there.
"""

import shutil
import time
from random import Random

import pytest

from tests.fuzz.mutate import DICOM_PIECES, ZIP_PIECES, mutate

BEHIND_PREAMBLE = 132
CASES = (
    *(("scan", kind) for kind in ("CT", "implicit", "RTSTRUCT", "SEG")),
    *(("series", kind) for kind in ("CT", "implicit", "PT", "RLE")),
    ("rtstruct", "RTSTRUCT"),
    ("seg", "SEG"),
    *(("dose", kind) for kind in ("RTDOSE", "implicit dose")),
    ("registration", "REG"),
    *(("archive", kind) for kind in ("zip", "tar", "multipart")),
)
REAL = {  # small files with a habit of their own, most of them broken already
    "scan": ("oddities/broken/*", "oddities/charset/*", "oddities/transfer_syntax/**/*.dcm", "rtstruct/**/*.dcm"),
    "dose": ("rtdose/**/rtdose*.dcm",),
    "seg": ("seg/dcmqi/**/label.seg", "seg/dcmqi/seg/*.dcm", "seg/highdicom/*.dcm", "seg/pydicom/*.dcm"),
}
LARGEST = 400_000  # bytes of a real file: larger ones would leave time for few seeds


@pytest.mark.parametrize(("check", "kind"), CASES)
def test_damaged_bytes(check, kind, sound, guard, budget, tmp_path):
    _fuzz(check, sound[kind], guard, budget, tmp_path)


@pytest.mark.realdata
@pytest.mark.parametrize("check", REAL)
def test_damaged_bytes_of_real_files(check, realdata, guard, budget, tmp_path):
    files = sorted({path for pattern in REAL[check] for path in realdata.glob(pattern) if path.is_file()})
    files = [path for path in files if 132 < path.stat().st_size < LARGEST]
    assert len(files) > 2
    ends = time.monotonic() + budget.seconds
    for seed in range(budget.seed, budget.seed + 1_000_000):
        _one(check, [files[seed % len(files)]], guard, tmp_path, seed)
        if time.monotonic() > ends:
            return


def _fuzz(check, files, guard, budget, folder) -> None:
    found = guard.check(check, files, files, timeout=300)  # sound files; and the kernels are compiled
    assert not found, f"sound files: {found}"
    ends = time.monotonic() + budget.seconds
    for seed in range(budget.seed, budget.seed + 1_000_000):
        _one(check, files, guard, folder, seed)
        if time.monotonic() > ends:
            return


def _one(check, files, guard, folder, seed) -> None:
    """Damage one of the files, or the same place of all, and check."""
    random = Random(seed)
    chosen = random.randrange(len(files))
    in_all = random.random() < 0.2
    state = random.getstate()
    damaged = []
    for number, path in enumerate(files):
        raw = path.read_bytes()
        if in_all or number == chosen:
            random.setstate(state)
            pieces, start = (ZIP_PIECES, 0) if check == "archive" else (DICOM_PIECES, BEHIND_PREAMBLE)
            raw = mutate(raw, random, pieces, start=start)
        target = folder / f"{number:03d}"
        target.write_bytes(raw)
        damaged.append(target)
    found = guard.check(check, damaged, files)
    if found:
        kept = folder / f"seed{seed}"
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("seed*", "out"), dirs_exist_ok=True)
        pytest.fail(f"seed {seed} of {check} on {files[chosen].name}, kept in {kept}: {found}")
