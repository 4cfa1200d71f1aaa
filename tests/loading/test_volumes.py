"""Which volume and class a draw names: exact counts, and a chi-square where chances are all that is promised."""

import hashlib
import pickle
from collections import Counter
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from medimagenet.errors import StoreError
from medimagenet.loading import PatchLoader
from medimagenet.loading.patches import PatchSettings, PatchSource
from medimagenet.loading.samplers import Draw, is_on_foreground, volume_of
from medimagenet.loading.volumes import Choice, VolumeChoice, resolve_weights
from medimagenet.store import Targets, create_store, open_store

IDS = ("s00", "s01", "s02", "s03", "s04")  # the training samples; s01 has no tumor, s02 nothing


def choices(store, count, epoch=0, **values):
    choice = VolumeChoice(open_store(store), IDS, **{"seed": 3, "length": count, "foreground": 0.0, **values})
    again = pickle.loads(pickle.dumps(choice))
    found = [choice.choose(Draw(epoch, k)) for k in range(count)]
    assert [again.choose(Draw(epoch, k)) for k in reversed(range(count))] == found[::-1]
    return found


def test_without_settings_volumes_take_turns(small_store):
    for foreground in (0.0, 0.33, 1.0):
        found = choices(small_store, 500, foreground=foreground)
        assert Counter(choice.volume for choice in found) == dict.fromkeys(range(5), 100)
        assert sum(choice.is_on_foreground for choice in found) in (floor(500 * foreground), ceil(500 * foreground))
        assert all(choice.class_name is None for choice in found)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 10), min_size=5, max_size=5).filter(any), st.integers(0, 9), st.integers(1, 300))
def test_weighted_volumes_come_their_share_rounded_up_or_down(small_store, weights, epoch, count):
    found = Counter(choice.volume for choice in choices(small_store, count, epoch, weights=weights))
    for volume, weight in enumerate(weights):
        exact = count * weight / sum(weights)
        assert floor(exact - 1e-6) <= found[volume] <= ceil(exact + 1e-6)


def test_a_share_below_one_comes_in_some_epochs(small_store):
    choice = VolumeChoice(open_store(small_store), IDS, seed=0, length=4, foreground=0, weights=[1, 1, 1, 1, 0.4])
    hits = sum(choice.choose(Draw(epoch, k)).volume == 4 for epoch in range(2000) for k in range(4))
    assert 4 * 2000 / 11 * 0.85 < hits < 4 * 2000 / 11 * 1.15  # 727 expected, standard deviation 22


def test_weighted_order_is_random(small_store):
    found = choices(small_store, 1000, weights=[1, 1, 1, 1, 1])
    pairs = Counter((a.volume, b.volume) for a, b in zip(found[::2], found[1::2], strict=True))
    assert chisquare([pairs[a, b] for a in range(5) for b in range(5)]).pvalue > 1e-4


def test_classes_come_equally_often_whichever_volumes_have_them(small_store):
    found = choices(small_store, 900, foreground=1.0, balance="classes")
    assert Counter(choice.class_name for choice in found) == {"organ": 450, "tumor": 450}
    by_class = {name: Counter(c.volume for c in found if c.class_name == name) for name in ("organ", "tumor")}
    assert set(by_class["organ"]) == {0, 1, 3, 4}
    assert set(by_class["tumor"]) == {0, 3, 4}
    for counts in by_class.values():  # passes over the volumes that have the class
        assert max(counts.values()) - min(counts.values()) <= 1


def test_patches_that_may_lie_anywhere_pass_over_all_volumes_beside_balanced_ones(small_store):
    found = choices(small_store, 600, foreground=0.33, balance="classes")
    anywhere = Counter(choice.volume for choice in found if not choice.is_on_foreground)
    assert sorted(anywhere) == [0, 1, 2, 3, 4]
    assert max(anywhere.values()) - min(anywhere.values()) <= 1
    expected = [k for k in range(600) if is_on_foreground(3, Draw(0, k), 0.33)]
    assert [k for k, choice in enumerate(found) if choice.is_on_foreground] == expected


def test_balanced_classes_with_weights(small_store):
    weights = {"s00": 1, "s01": 5, "s02": 1, "s03": 3, "s04": 0}
    found = choices(small_store, 4000, foreground=1.0, balance="classes", weights=weights)
    assert Counter(choice.class_name for choice in found) == {"organ": 2000, "tumor": 2000}
    tumor = Counter(choice.volume for choice in found if choice.class_name == "tumor")
    organ = Counter(choice.volume for choice in found if choice.class_name == "organ")
    assert set(tumor) == {0, 3}
    assert chisquare([tumor[0], tumor[3]], [500, 1500]).pvalue > 1e-4
    assert chisquare([organ[0], organ[1], organ[3]], np.array([1, 5, 3]) * 2000 / 9).pvalue > 1e-4


def test_a_balanced_patch_holds_its_class(small_store, small_sample):
    options = {"patch_size": (1, 1, 1), "foreground": 1.0, "patches_per_epoch": 60}
    for balance, classes in (("classes", None), ("classes", ("tumor",)), ("volumes", ("tumor",))):
        source = PatchSource(small_store, PatchSettings(balance=balance, classes=classes, **options))
        for k in range(60):
            patch, choice = source.locate(Draw(0, k)), source.volumes.choose(Draw(0, k))
            number = int(patch.sample.sample_id[1:])
            x, y, z = patch.start
            organ, tumor = small_sample(number)[0]["label"]["array"][:, z, y, x]
            if classes is None:
                assert (organ if choice.class_name == "organ" else tumor) == 1
            elif balance == "classes" or number not in (1, 2):
                assert tumor == 1


def test_a_class_that_no_sample_has_is_an_error_with_a_remedy(small_store):
    store = open_store(small_store)
    options = {"seed": 0, "length": 4, "foreground": 0.5, "balance": "classes"}
    with pytest.raises(StoreError, match=r"none of 2 samples has a voxel of class 'tumor'.*classes=\[\.\.\.\]"):
        VolumeChoice(store, ("s01", "s02"), **options)
    assert VolumeChoice(store, ("s01", "s02"), **options, classes=["organ"]).choose(Draw(0, 1)).volume in (0, 1)
    with pytest.raises(StoreError, match="class 'tumor' and a weight above 0"):
        VolumeChoice(store, ("s00", "s01"), **options, weights=[0, 1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2, 3], "must be 5, one per sample in the order of the ids, got 3"),
        ([1, 1, -1, 1, 1], "the weight of sample s02 must be finite and not negative, got -1"),
        ([1, 1, 1, 1, float("nan")], "sample s04 .* got nan"),
        ({"s00": 1.0}, "sample s01 .* got None"),
        ([0] * 5, "all 5 weights are 0"),
        ("split", "column 'split': the weight of sample s00 .* got train"),
    ],
)
def test_wrong_weights_are_named(small_store, weights, message):
    with pytest.raises(ValueError, match=message):
        resolve_weights(open_store(small_store), IDS, weights)


def test_weights_from_a_column(small_store):
    store = open_store(small_store)
    expected = [store.row(name)["stored_bytes"] for name in IDS]
    assert resolve_weights(store, IDS, "stored_bytes") == tuple(expected)
    with pytest.raises(StoreError, match="no target 'age', only none"):
        resolve_weights(store, IDS, "age")


def test_wrong_classes_and_balances_are_named(small_store):
    with pytest.raises(ValueError, match=r"some of organ, tumor, got \['liver'\]"):
        choices(small_store, 1, classes=["liver"])
    with pytest.raises(ValueError, match="volumes, classes, got 'class'"):
        PatchSettings(patch_size=(1, 1, 1), balance="class")
    assert choices(small_store, 1, classes=["tumor"])[0] == Choice(volume_of(3, Draw(0, 0), 5), False)


def digests(loader):
    stamps = []
    for batch in loader:
        stamp = hashlib.sha256(repr((batch["sample_id"], batch["patch_start"].tolist())).encode())
        for name in ("image", "label", "target"):
            stamp.update(batch[name].numpy().tobytes())
        stamps.append(stamp.hexdigest())
    return stamps


SAMPLINGS = {
    "weighted": {"weights": [5, 1, 1, 1, 2]},
    "classes": {"balance": "classes", "foreground": 0.5},
    "both": {"balance": "classes", "foreground": 0.5, "weights": [5, 1, 1, 1, 2], "classes": ["tumor"]},
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_workers_ranks_and_resuming_change_no_batch(small_store, tmp_path, sampling):
    table = tmp_path / "targets.csv"
    table.write_text("sample_id,age\n" + "".join(f"s{k:02d},{50 + k}\n" for k in range(9)))
    options = {
        "patch_size": (7, 6, 5),
        "patches_per_epoch": 13,
        "targets": Targets(columns="age", table=table),
        **SAMPLINGS[sampling],
    }
    with PatchLoader(small_store, **options, workers=0) as loader:
        expected = [digests(loader), digests(loader)]
    for workers in (1, 4):
        with PatchLoader(small_store, **options, workers=workers) as loader:
            assert [digests(loader), digests(loader)] == expected
            batches = iter(loader)
            next(batches)
            state = loader.state_dict()
            rest = digests(batches)
        with PatchLoader(small_store, **options, workers=1) as loader:
            loader.load_state_dict(state)
            assert digests(loader) == rest
    for ranks in (2, 3):
        dealt = []
        for rank in range(ranks):
            with PatchLoader(small_store, **options, workers=1, rank=rank, ranks=ranks) as loader:
                dealt.append(digests(loader))
        assert [each for step in zip(*dealt, strict=True) for each in step][:6] == expected[0][:6]
    other = PatchLoader(small_store, **{**options, "weights": [1, 1, 1, 1, 3]}, workers=0)
    with pytest.raises(ValueError, match="the loader's state was saved with sampling"):
        other.load_state_dict(state)


def test_classes_without_stored_coordinates_or_without_a_label_cannot_be_balanced(small_store, tmp_path, monkeypatch):
    settings = PatchSettings(patch_size=(4, 4, 4), balance="classes", foreground=1.0)
    source = PatchSource(small_store, settings)
    monkeypatch.setattr(source.samples, "foreground", lambda sample_id: {})  # as with max_foreground: 0
    with pytest.raises(StoreError, match=r"no coordinates of it are stored.*max_foreground: 10000"):
        source.locate(Draw(0, 0))
    facts = {"recipe": {}, "recipe_hash": "0", "classes": (), "label_kind": "channels", "index_version": "1"}
    bare = open_store(create_store(tmp_path / "bare.zarr", **facts).path)
    with pytest.raises(StoreError, match=r'has no classes: balance="classes" needs a label'):
        VolumeChoice(bare, ("s00",), seed=0, length=1, foreground=0.5, balance="classes")
    assert not VolumeChoice(bare, ("s00",), seed=0, length=1, foreground=0.0).choose(Draw(0, 0)).volume
