"""Which patients train, which validate, which test: never one patient in two splits."""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

from .recipe import SPLITS, SplitRecipe


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


def _sizes(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers with sum `total` that are nearest to the shares."""
    parts = {name: Fraction(share).limit_denominator(10**6) for name, share in shares.items()}
    exact = {name: part * total / sum(parts.values()) for name, part in parts.items()}
    sizes = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (sizes[name] - exact[name], -shares[name]))
    for name in by_remainder[: total - sum(sizes.values())]:
        sizes[name] += 1
    wanted = [name for name, share in shares.items() if share > 0]
    for name in wanted:
        largest = max(wanted, key=sizes.__getitem__)
        if sizes[name] == 0 and sizes[largest] > 1:
            sizes[largest] -= 1
            sizes[name] = 1
    return sizes
