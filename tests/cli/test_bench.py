"""`medimagenet bench`: figures that fit one another, and what a training step makes of them."""

import pytest


def test_figures_fit_one_another(call, chain):
    answer = call("bench", chain.store, "--patch", 16, 12, 8, "--batch", 3, "--seconds", 0.2, "--step-ms", 50, "--json")
    found = answer.document
    assert answer.code == 0
    assert found["patches_per_s"] > 0
    patch_bytes = 16 * 12 * 8 * (4 + 2)  # float32 image, uint8 label of two classes
    assert found["mb_per_s"] == pytest.approx(found["patches_per_s"] * patch_bytes / 1e6)
    assert list(found["parts"]) == ["place", "image", "label"]
    assert min(found["parts"].values()) > 0
    assert found["needed_patches_per_s"] == 60
    assert 0 <= found["waiting"] < 1


def test_the_table_names_every_part(call, chain):
    answer = call("bench", chain.store, "--patch", 8, 8, 8, "--seconds", 0.1, "--workers", 0, "--step-ms", 0.01)
    assert answer.code == 0
    for word in ("patches/s", "place", "image", "label", "it would wait"):
        assert word in answer.out


def test_an_impossible_patch_is_wrong_usage(call, chain):
    assert call("bench", chain.store, "--patch", 0, 8, 8).code == 2
