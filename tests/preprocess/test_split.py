"""Splits by law: every patient once, exact sizes, no dependence on order."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medimagenet.preprocess.recipe import SPLITS, SplitRecipe
from medimagenet.preprocess.split import Assignment, assign_patients, assign_splits

percents = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: sum(pair) <= 100)


def shares(pair, seed=0):
    train, val = pair
    return SplitRecipe(train=train / 100, val=val / 100, test=(100 - train - val) / 100, seed=seed)


def names(n):
    return [f"patient {k}" for k in range(n)]


@given(st.integers(0, 60), percents)
def test_sizes_are_the_shares_to_less_than_one_patient(n, pair):
    split = shares(pair)
    wanted = {name: Fraction(round(getattr(split, name) * 100), 100) * n for name in SPLITS}
    given_share = [name for name in SPLITS if wanted[name] > 0]
    found = Counter(assign_splits(names(n), split).values())
    assert found.total() == n
    assert all(name in given_share for name in found)
    if all(wanted[name] >= 1 for name in given_share):
        assert all(abs(found[name] - wanted[name]) < 1 for name in SPLITS)
    if n >= len(given_share):
        assert all(found[name] >= 1 for name in given_share)


@given(st.permutations(names(11)), st.integers(0, 3))
def test_order_and_repetition_change_nothing(order, repeated):
    split = shares((70, 20))
    assert assign_splits(order + order[:repeated], split) == assign_splits(names(11), split)


@given(st.integers(0, 1000))
def test_another_seed_deals_otherwise(seed):
    assume(seed != 1)
    one, other = (assign_splits(names(60), shares((50, 50), each)) for each in (1, seed))
    assert one != other
    assert Counter(one.values()) == Counter(other.values())


def test_this_version_deals_as_every_later_one_must():
    found = assign_splits(names(10), SplitRecipe())
    assert [name for name, split in sorted(found.items()) if split == "test"] == ["patient 3"]
    assert [name for name, split in sorted(found.items()) if split == "val"] == ["patient 0", "patient 4"]


@pytest.mark.parametrize("n", [1, 2])
def test_few_patients_train_first(n):
    assert list(assign_splits(names(n), SplitRecipe()).values()).count("train") == 1


def test_without_folds_and_strata_patients_are_dealt_as_ever():
    found = assign_patients(names(23), shares((70, 20), seed=4))
    assert {patient: place.split for patient, place in found.items()} == assign_splits(
        names(23), shares((70, 20), seed=4)
    )
    assert {place.fold for place in found.values()} == {None}


@given(st.integers(20, 60), st.integers(2, 5), st.sampled_from([0.0, 0.1, 0.3]))
def test_folds_are_even_and_the_test_share_is_in_none(n, folds, test):
    found = assign_patients(names(n), SplitRecipe(folds=folds, test=test))
    sizes = Counter(place.fold for place in found.values() if place.split != "test")
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 2
    assert abs(sum(place == Assignment("test") for place in found.values()) - test * n) <= 1
    assert all((place.split == "val") == (place.fold == 0) for place in found.values())


@given(st.lists(st.integers(10, 40), min_size=2, max_size=4), st.integers(0, 50))
def test_every_stratum_has_its_part_of_each_split(sizes, seed):
    strata = {f"p{group}-{k}": f"group {group}" for group, size in enumerate(sizes) for k in range(size)}
    split = shares((60, 20), seed)
    found = assign_patients(sorted(strata), split, strata)
    for group, size in enumerate(sizes):
        inside = Counter(found[patient].split for patient, name in strata.items() if name == f"group {group}")
        for name in SPLITS:
            assert abs(inside[name] - getattr(split, name) * size) <= 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"folds": 1}, "at least 2, got 1"),
        ({"folds": 5, "train": 0.5, "val": 0.5}, "only test is to be given"),
        ({"folds": 5, "test": 2}, "less than or equal to 1"),
        ({"stratify": "age"}, "collection"),
    ],
)
def test_wrong_splits_are_told(values, words):
    with pytest.raises(ValueError, match=words):
        SplitRecipe(**values)
