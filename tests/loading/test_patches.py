"""Where patches lie: against the stored labels and counts."""

import pickle
from collections import Counter

import numpy as np
import pytest

from medimagenet.errors import StoreError
from medimagenet.loading.patches import PatchSettings, PatchSource, as_size
from medimagenet.loading.samplers import Draw, is_on_foreground


def patches_of(source, count, epoch=0):
    return [source.locate(Draw(epoch, k)) for k in range(count)]


def settings_of(**values):
    return PatchSettings(**{"patch_size": (8, 7, 6), **values})


def label_in(patch, labels):
    """The labels (C, z, y, x) inside a patch that lies inside its volume."""
    x, y, z = patch.start
    a, b, c = patch.sample.turn.to_grid_order(patch.shape)
    return labels[:, z : z + c, y : y + b, x : x + a]


def test_foreground_patches_hold_a_class_and_the_classes_equally_often(small_store, small_sample):
    source = PatchSource(small_store, settings_of(foreground=1.0, patch_size=(1, 1, 1), patches_per_epoch=5000))
    found = Counter()
    for patch in patches_of(source, 3000):
        number = int(patch.sample.sample_id[1:])
        present = label_in(patch, small_sample(number)[0]["label"]["array"]).reshape(2).tolist()
        found[number, *present] += 1
    totals = Counter({n: sum(c for key, c in found.items() if key[0] == n) for n in range(5)})
    assert all(c == 600 for c in totals.values())  # passes over all volumes
    assert {key[1:] for key in found if key[0] == 1} == {(1, 0)}  # has the organ only
    assert (2, 0, 0) in found  # has nothing: anywhere
    for number in (0, 3, 4):
        assert (number, 0, 0) not in found
        tumor = sum(c for key, c in found.items() if key[0] == number and key[2])
        assert tumor > 240  # half of 600, far more than its share of voxels; six standard deviations below


def test_the_share_on_foreground(small_store, small_sample):
    settings = settings_of(foreground=0.33, patch_size=(3, 3, 3), patches_per_epoch=400, seed=4)
    source = PatchSource(small_store, settings)
    for k, patch in enumerate(patches_of(source, 400)):
        number = int(patch.sample.sample_id[1:])
        if is_on_foreground(4, Draw(0, k), 0.33) and number != 2:
            assert label_in(patch, small_sample(number)[0]["label"]["array"]).any()


def test_seed_epoch_and_number_name_the_patch(small_store):
    names = {}
    for seed in (0, 1):
        source = PatchSource(small_store, settings_of(seed=seed, patches_per_epoch=20))
        for epoch in (0, 1):
            patches = patches_of(source, 20, epoch)
            names[seed, epoch] = tuple((p.sample.sample_id, p.start) for p in patches)
            again = pickle.loads(pickle.dumps(source))
            assert tuple((p.sample.sample_id, p.start) for p in patches_of(again, 20, epoch)) == names[seed, epoch]
    assert len(set(names.values())) == 4


def test_patches_larger_than_the_volume_are_centred(small_store):
    source = PatchSource(small_store, settings_of(patch_size=(60, 61, 62), foreground=0.5))
    for patch in patches_of(source, 5):
        box = patch.sample.turn.to_grid_order(patch.shape)
        for start, n, size in zip(patch.start, box, patch.sample.grid.size, strict=True):
            assert start == -((n - size) // 2)


def test_shapes_and_lengths(small_store):
    source = PatchSource(small_store, settings_of(label_dtype="float32", orientation=None, keys=("label", "pt")))
    assert source.length == 5
    assert source.shapes() == {
        "label": ((2, 6, 7, 8), np.dtype(np.float32)),
        "pt": ((1, 6, 7, 8), np.dtype(np.float32)),
    }
    assert PatchSource(small_store, settings_of(patches_per_epoch=17)).length == 17


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch_size": (0, 4, 4)}, r"patch_size .* got \(0, 4, 4\)"),
        ({"patches_per_epoch": 0}, "at least 1, got 0"),
        ({"foreground": 1.5}, "from 0 to 1, got 1.5"),
        ({"foreground": float("nan")}, "from 0 to 1, got nan"),
        ({"label_dtype": "int64"}, "uint8, float32, got 'int64'"),
        ({"pad": float("inf")}, "finite, got inf"),
        ({"orientation": "RAX"}, "'RAX'"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        settings_of(**wrong)


def test_a_size_has_three_numbers():
    assert as_size([np.int64(3), 4, 5]) == (3, 4, 5)
    with pytest.raises(ValueError, match=r"three numbers \(x, y, z\), got \(3, 4\)"):
        as_size((3, 4))


def test_no_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="there is no store at"):
        PatchSource(tmp_path / "none.zarr", settings_of())
