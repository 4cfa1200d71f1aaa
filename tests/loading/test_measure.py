"""measure_loader: what its figures say of a training step, by arithmetic."""

import pytest

from medimagenet.loading import LoaderSpeed, measure_loader


def test_a_slow_step_waits_for_nothing_and_a_fast_one_for_the_rest():
    speed = LoaderSpeed(workers=2, patches_per_s=200.0, mb_per_s=1.0, first_batch_s=0.1, parts={})
    assert speed.waiting(2, step_ms=10.0) == 0  # a batch takes 10 ms to load
    assert speed.waiting(2, step_ms=40.0) == 0
    assert speed.waiting(2, step_ms=2.5) == pytest.approx(0.75)


def test_settings_are_those_of_the_loader(small_store):
    speed = measure_loader(small_store, patch_size=(6, 5, 4), split=None, workers=0, seconds=0.1)
    assert speed.workers == 0
    assert speed.mb_per_s == pytest.approx(
        speed.patches_per_s * 6 * 5 * 4 * (4 + 2 + 4) / 1e6
    )  # image, label of two classes, dose
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        measure_loader(small_store, patch_size=(6, 5, 4), split=None, seconds=0)
