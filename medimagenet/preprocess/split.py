"""Which patients train, which validate, which test: never one patient in two splits."""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

from .recipe import SPLITS, SplitRecipe


class Assignment(NamedTuple):
    """Where a patient is."""

    split: str
    """"train", "val" or "test"."""
    fold: int | None = None
    """Of the cross-validation, from 0; None without one, and for a patient of the test split."""


def assign_patients(
    patients: Sequence[str], split: SplitRecipe, strata: Mapping[str, str] | None = None
) -> dict[str, Assignment]:
    """Deal patients out to splits and, where the recipe asks for them, to folds.

    Parameters
    ----------
    patients : names that tell patients apart; one per sample is fine
    split : shares, seed and folds
    strata : per patient a group of which every split shall have its part, to one patient

    Returns
    -------
    Per patient its split and fold. With folds, fold 0 is "val" and the others are "train".
    """
    if not split.folds and strata is None:
        return {patient: Assignment(name) for patient, name in assign_splits(patients, split).items()}
    groups = strata or {}
    ranked = sorted(set(patients), key=lambda each: (groups.get(each, ""), _rank(each, split.seed), each))
    places = _places(len(ranked), split)
    return dict(zip(ranked, places, strict=True))


def _places(total: int, split: SplitRecipe) -> list[Assignment]:
    """One per patient, each kind spread evenly, so that every run of neighbours has its part of each."""
    if split.folds:
        part = Fraction(1 - Fraction(split.test).limit_denominator(10**6), split.folds)
        shares = {Assignment("test"): Fraction(split.test).limit_denominator(10**6)}
        shares |= {Assignment("val" if k == 0 else "train", k): part for k in range(split.folds)}
    else:
        shares = {Assignment(name): Fraction(getattr(split, name)).limit_denominator(10**6) for name in SPLITS}
    sizes = _sizes(total, shares)
    placed = [((k + Fraction(1, 2)) / n, place) for place, n in sizes.items() for k in range(n)]
    return [place for _, place in sorted(placed, key=lambda each: (each[0], list(sizes).index(each[1])))]


def assign_splits(patients: Sequence[str], split: SplitRecipe) -> dict[str, str]:
    """Deal patients out to "train", "val" and "test".

    Patients are ranked by a hash of seed and name, so that neither their order nor a repeated name changes anything.
    The sizes are the shares of the recipe, rounded by the largest remainder; a split with a share above 0 gets a
    patient when there are enough, taken from the largest split.

    Parameters
    ----------
    patients : names that tell patients apart; one per sample is fine
    split : shares and seed

    Returns
    -------
    Per patient its split.
    """
    ranked = sorted(set(patients), key=lambda patient: (_rank(patient, split.seed), patient))
    shares = {"train": split.train, "val": split.val, "test": split.test}
    sizes = _sizes(len(ranked), shares)
    names = [name for name in SPLITS for _ in range(sizes[name])]
    return dict(zip(ranked, names, strict=True))


def _rank(patient: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{patient}".encode()).hexdigest()


Key = TypeVar("Key")


def _sizes(total: int, shares: Mapping[Key, float | Fraction]) -> dict[Key, int]:
    """Whole numbers with sum `total` that are nearest to the shares."""
    parts = {name: Fraction(share).limit_denominator(10**6) for name, share in shares.items()}
    exact = {name: part * total / sum(parts.values()) for name, part in parts.items()}
    sizes = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (sizes[name] - exact[name], -parts[name]))
    for name in by_remainder[: total - sum(sizes.values())]:
        sizes[name] += 1
    wanted = [name for name, share in shares.items() if share > 0]
    for name in wanted:
        largest = max(wanted, key=sizes.__getitem__)
        if sizes[name] == 0 and sizes[largest] > 1:
            sizes[largest] -= 1
            sizes[name] = 1
    return sizes
