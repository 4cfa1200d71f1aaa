"""Dose-volume histograms against dicompyler-core, sums by hand, and laws."""

import warnings

import numpy as np
import pydicom
import pydicom.dicomio
import pytest
from pydicom.uid import generate_uid

from medimagenet.dicom import read_dose, read_mask
from medimagenet.dicom.dvh import dose_volume_histogram
from medimagenet.geometry import Grid
from medimagenet.volume import FractionalMask, Mask, Volume

GRID = Grid((4, 3, 2), (5.0, 5.0, 4.0))  # 0.1 cm3 a voxel
DOSE = Volume(np.arange(24, dtype=np.float32).reshape(GRID.shape), GRID, "Gy")


def histogram(inside, dose=DOSE):
    kind = Mask if inside.dtype == bool else FractionalMask
    return dose_volume_histogram(dose, kind(inside[np.newaxis], dose.grid, ("r",)))["r"]


def test_figures_by_hand():
    found = histogram((DOSE.array >= 4) & (DOSE.array < 14))  # ten voxels, 4 to 13 Gy, 1 cm3
    assert found.volume_cm3 == pytest.approx(1.0)
    assert (found.min_gy, found.max_gy, found.mean_gy) == (4, 13, pytest.approx(8.5))
    assert [found.volume_at(dose) for dose in (0, 4, 4.5, 13, 13.1)] == pytest.approx([1, 1, 0.9, 0.1, 0])
    assert [found.dose_at(percent) for percent in (0, 10, 10.1, 50, 95, 100)] == [13, 13, 12, 9, 4, 4]
    edges, volumes = found.cumulative(1.0)
    assert edges.tolist() == list(range(15))
    assert volumes == pytest.approx([1, 1, 1, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0], abs=1e-12)
    edges, volumes = found.differential(5.0)
    assert (edges.tolist(), volumes) == ([0, 5, 10, 15, 20], pytest.approx([0.1, 0.5, 0.4, 0]))


def test_shares_count_as_parts_of_a_voxel():
    share = np.zeros(GRID.shape, np.float32)
    share[0, 0, :3] = [0.25, 0.5, 1.0]
    found = histogram(share)
    assert found.volume_cm3 == pytest.approx(0.175)
    assert found.mean_gy == pytest.approx((0.5 * 1 + 1.0 * 2) / 1.75)


def test_an_empty_region_has_no_dose():
    found = histogram(np.zeros(GRID.shape, dtype=bool))
    assert (found.volume_cm3, found.volume_at(0)) == (0, 0)
    assert np.isnan([found.min_gy, found.max_gy, found.mean_gy, found.dose_at(50)]).all()
    assert found.cumulative()[1].sum() == 0


def test_wrong_arguments():
    mask = Mask(np.ones((1, *GRID.shape), bool), GRID, ("r",))
    with pytest.raises(ValueError, match="in Gy, got unit None"):
        dose_volume_histogram(Volume(DOSE.array, GRID), mask)
    with pytest.raises(ValueError, match="on different grids: give read_dose the image as reference"):
        dose_volume_histogram(Volume(DOSE.array, Grid((4, 3, 2)), "Gy"), mask)
    with pytest.raises(ValueError, match="within 0 to 100, got 101"):
        histogram(mask.array[0]).dose_at(101)
    with pytest.raises(ValueError, match="wider than 0 Gy, got 0"):
        histogram(mask.array[0]).cumulative(0)


@pytest.fixture
def dvhcalc(monkeypatch):
    """dicompyler-core 0.5.6 asks pydicom for a name that version 3 has not."""
    monkeypatch.setattr(pydicom.dicomio, "read_file", pydicom.dcmread, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("dicompylercore.dvhcalc")


def test_a_plan_as_dicompyler_has_it(dvhcalc, write_dose, write_rtstruct):
    stored = (1000 * np.random.default_rng(0).random((9, 24, 30)).cumsum(axis=2)).astype(np.uint32)
    frame = generate_uid()

    def dose_change(dataset):
        dataset.FrameOfReferenceUID, dataset.DoseSummationType, dataset.DoseType = frame, "PLAN", "PHYSICAL"
        dataset.ImagePositionPatient = [-30, -20, 60]

    dose_path = write_dose(stored, list(np.arange(9) * 2.5), 0.0021377, change=dose_change)
    turns = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    circles = [
        np.stack([15.3 + size * np.cos(turns), 2.1 + size * np.sin(turns), np.full(80, 60 + 2.5 * k)], axis=1)
        for k, size in ((2, 11.0), (3, 14.2), (4, 15.1), (5, 12.0))
    ]
    structure_path = write_rtstruct({(1, "target"): circles})
    dose = read_dose(dose_path)
    ours = dose_volume_histogram(dose, read_mask(structure_path, dose.grid))["target"]
    theirs = dvhcalc.get_dvh(str(structure_path), str(dose_path), 1)
    assert ours.volume_cm3 == pytest.approx(theirs.volume, rel=1e-6)
    for name, value in (("mean", ours.mean_gy), ("max", ours.max_gy), ("min", ours.min_gy)):
        assert getattr(theirs, name) == pytest.approx(value, abs=0.011)  # its bins are 0.01 Gy
    for percent in (2, 50, 95, 98):
        assert theirs.statistic(f"D{percent}").value == pytest.approx(ours.dose_at(percent), abs=0.03)
    bins = np.asarray(theirs.cumulative.counts)
    edges, volumes = ours.cumulative(0.01)
    count = min(len(bins), len(volumes))
    assert len(bins) == pytest.approx(len(edges), abs=2)
    np.testing.assert_allclose(bins[1:count], volumes[1:count], atol=1e-9)
