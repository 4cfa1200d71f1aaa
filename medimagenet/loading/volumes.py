"""Which volume a patch comes from, and which class it must hold: what a draw decides before any file is opened."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple

from ..errors import StoreError
from ..store import Store, Targets
from ..store.targets import stored_targets
from .samplers import (
    Draw,
    class_turn,
    foreground_rank,
    independent_volume,
    volume_of,
    volume_of_class,
    weighted_volume,
)

Weights = str | Sequence[float] | Mapping[str, float]
BALANCES = ("volumes", "classes")


class Choice(NamedTuple):
    """What a draw asks for."""

    volume: int
    """Position in the samples' ids."""
    is_on_foreground: bool
    class_name: str | None = None
    """Which class the patch must hold; None: one of those that the volume has."""


class VolumeChoice:
    """Chooses volumes; a pure function of (seed, epoch, number). Picklable, holds no file.

    Parameters
    ----------
    ids : of the samples that are drawn from
    foreground : share of patches that must hold a class
    balance : "volumes": volumes take turns, and a foreground patch holds a class that its volume has. "classes":
        the classes take turns, and a foreground patch comes from a volume that has the class
    classes : those that count as foreground; None takes all of the store
    weights : None lets volumes take turns. Else how often each comes: one number per sample of `ids`, a mapping from
        their ids, or the name of a column of samples.parquet or of a stored target

    Raises
    ------
    ValueError
        A setting is unknown, or a weight is missing, negative or not finite.
    StoreError
        With balance "classes": no sample has a voxel of a class.
    """

    def __init__(
        self,
        store: Store,
        ids: Sequence[str],
        *,
        seed: int,
        length: int,
        foreground: float,
        balance: str = "volumes",
        classes: Sequence[str] | None = None,
        weights: Weights | None = None,
    ) -> None:
        self.classes = _wanted_classes(store, classes)
        self.identity = _identity(balance, self.classes if classes is not None else None, weights)
        """Names how volumes and classes are chosen, beside seed and lengths; None: as by default."""
        self._seed, self._length, self._foreground = seed, length, foreground
        self._volumes = len(ids)
        given = None if weights is None else resolve_weights(store, ids, weights)
        self._sums = None if given is None else tuple(accumulate(given))
        self._having: list[tuple[int, ...]] = []
        self._class_sums: list[tuple[float, ...]] = []
        if balance == "classes" and foreground > 0:
            self._having = _volumes_per_class(store, ids, self.classes, given)
        if given is not None:
            self._class_sums = [tuple(accumulate(given[k] for k in volumes)) for volumes in self._having]

    def choose(self, draw: Draw) -> Choice:
        """Volume and class of a draw."""
        before, is_on_foreground = foreground_rank(self._seed, draw, self._foreground)
        if not self._having:
            return Choice(self._any_volume(draw), is_on_foreground)
        if not is_on_foreground:
            place = draw.number if self._sums else draw.number - before  # those that may lie anywhere make passes
            return Choice(self._any_volume(Draw(draw.epoch, place)), False)
        which, count = class_turn(self._seed, draw.epoch, before, len(self.classes))
        having = self._having[which]
        if self._class_sums:
            place = independent_volume(self._seed, draw, self._class_sums[which])
        else:
            place = volume_of_class(self._seed, draw.epoch, which, count, len(having))
        return Choice(having[place], True, self.classes[which])

    def _any_volume(self, draw: Draw) -> int:
        if self._sums is None:
            return volume_of(self._seed, draw, self._volumes)
        return weighted_volume(self._seed, draw, self._length, self._sums)


def _identity(balance: str, classes: Sequence[str] | None, weights: Weights | None) -> str | None:
    if balance == "volumes" and classes is None and weights is None:
        return None
    given = sorted(weights.items()) if isinstance(weights, Mapping) else weights if weights is None else list(weights)
    told = json.dumps([balance, classes, weights if isinstance(weights, str) else given], default=float)
    return hashlib.sha256(told.encode()).hexdigest()


def _wanted_classes(store: Store, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is None:
        return store.classes
    wanted = (classes,) if isinstance(classes, str) else tuple(classes)
    unknown = [name for name in wanted if name not in store.classes]
    if unknown or not wanted:
        raise ValueError(f"classes must name some of {', '.join(store.classes) or 'none'}, got {list(wanted)}")
    return tuple(dict.fromkeys(wanted))


def _volumes_per_class(
    store: Store, ids: Sequence[str], classes: Sequence[str], weights: Sequence[float] | None
) -> list[tuple[int, ...]]:
    """Per class the positions of the samples that have a voxel of it, and a weight above 0."""
    if not classes:
        raise StoreError(f'{store.path} has no classes: balance="classes" needs a label; use balance="volumes"')
    names = store.samples.column("sample_id").to_pylist()
    column = store.samples.column("class_voxels").to_pylist()
    counts = {
        name: {each["name"]: each["voxels"] for each in row or ()} for name, row in zip(names, column, strict=True)
    }
    found = []
    for name in classes:
        having = tuple(
            k for k, one in enumerate(ids) if counts[one].get(name, 0) > 0 and (weights is None or weights[k] > 0)
        )
        if not having:
            told = "" if weights is None else " and a weight above 0"
            raise StoreError(
                f"none of {len(ids)} samples has a voxel of class {name!r}{told}, so that it cannot be balanced: "
                'leave it out with classes=[...], or use balance="volumes"'
            )
        found.append(having)
    return found


def resolve_weights(store: Store, ids: Sequence[str], weights: Weights) -> tuple[float, ...]:
    """One weight per sample of `ids`.

    Raises
    ------
    ValueError
        There is no such column, a sample has no weight, one is negative or not finite, or all are 0.
    """
    if isinstance(weights, str):
        values, what = _column(store, ids, weights), f"column {weights!r}"
    elif isinstance(weights, Mapping):
        values, what = [weights.get(name) for name in ids], "weights"
    else:
        values, what = list(weights), "weights"
        if len(values) != len(ids):
            raise ValueError(f"weights must be {len(ids)}, one per sample in the order of the ids, got {len(values)}")
    for name, value in zip(ids, values, strict=True):
        if not isinstance(value, Real) or not isfinite(value) or value < 0:
            raise ValueError(f"{what}: the weight of sample {name} must be finite and not negative, got {value}")
    found = tuple(float(value) for value in values)
    if not any(found):
        raise ValueError(f"{what}: all {len(found)} weights are 0")
    return found


def _column(store: Store, ids: Sequence[str], name: str) -> list[Any]:
    """A column of samples.parquet, or a stored target, per sample."""
    if name not in store.samples.column_names:
        found = stored_targets(store.samples, Targets(columns=name)).rows
        return [found[one][0] for one in ids]
    names = store.samples.column("sample_id").to_pylist()
    by_id = dict(zip(names, store.samples.column(name).to_pylist(), strict=True))
    return [by_id[one] for one in ids]
