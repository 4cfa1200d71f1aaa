"""What comes when, and where a patch lies: pure functions of (seed, epoch, index).

Nothing here draws from a generator with a state. Each decision is a hash of the triple and of what is decided, so
that the patch with index 1,000 of epoch 7 is the same with any number of workers and ranks, after a resume, and in
any version of NumPy. The hash is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014), folded over the integers that it is given.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import floor
from typing import NamedTuple

from ..geometry import Size

_MASK = (1 << 64) - 1
_ROUNDS = 6  # of the Feistel network; 4 make a pseudorandom permutation (Luby and Rackoff 1988), 2 for good measure


class Draw(NamedTuple):
    """Names one patch of one epoch; what samplers yield, so that workers need not be told the epoch."""

    epoch: int
    number: int
    """Position in the epoch, over all ranks."""


class Purpose(IntEnum):
    """What a hash decides, so that no two decisions share one. Values are part of the determinism: never reuse."""

    ORDER = 1
    FOREGROUND = 2
    CLASS = 3
    VOXEL = 4
    START = 5
    TRANSFORM = 6
    WEIGHT = 7
    CLASS_TURN = 8
    CLASS_VOLUME = 9


def hash64(*values: int) -> int:
    """An integer below 2**64 that depends on every one of `values` and on their order."""
    state = 0x9E3779B97F4A7C15
    for value in values:
        state = _mix((state ^ (value & _MASK)) + 0x9E3779B97F4A7C15)
    return state


def _mix(state: int) -> int:
    """Scramble 64 bits, one to one: the finaliser of SplitMix64."""
    state = ((state & _MASK) ^ (state & _MASK) >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    return state ^ state >> 31


def below(limit: int, *values: int) -> int:
    """An integer from 0 to `limit` - 1, each equally likely (to limit / 2**64), from the hash of `values`."""
    return hash64(*values) * limit >> 64


def permuted(index: int, length: int, *values: int) -> int:
    """Where a random permutation of `length` things, named by `values`, sends `index`.

    Computed for one index, without making the permutation: a Feistel network over the next even power of two,
    walked until it lands below `length` (at most four steps on average).

    Raises
    ------
    ValueError
        `index` is not in 0 to `length` - 1.
    """
    if not 0 <= index < length:
        raise ValueError(f"index must be in 0 to {length - 1}, got {index}")
    half = max(1, ((length - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    key = hash64(*values)
    while True:
        left, right = index >> half, index & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (hash64(key, turn, right) & mask)
        index = left << half | right
        if index < length:
            return index


def volume_of(seed: int, draw: Draw, volumes: int) -> int:
    """Which of `volumes` a patch comes from: passes over all of them, each pass in a new random order."""
    turn, place = divmod(draw.number, volumes)
    return permuted(place, volumes, Purpose.ORDER, seed, draw.epoch, turn)


def weighted_volume(seed: int, draw: Draw, length: int, sums: Sequence[float]) -> int:
    """Which volume a patch comes from when volumes come as often as their weights say.

    The epoch's positions, permuted, lie evenly on the running sums, from a random phase (systematic sampling). So of
    `length` patches a volume with share w gets ``length * w``, rounded up or down, in every epoch.

    Parameters
    ----------
    length : patches in an epoch, over all ranks
    sums : running sums of the weights, the last one above 0
    """
    place = permuted(draw.number, length, Purpose.WEIGHT, seed, draw.epoch)
    phase = hash64(Purpose.WEIGHT, seed, draw.epoch, -1) / 2**64
    return _at_share((place + phase) / length, sums)


def independent_volume(seed: int, draw: Draw, sums: Sequence[float]) -> int:
    """The same without a promise for an epoch: each patch by itself, with the weights as chances."""
    return _at_share(hash64(Purpose.WEIGHT, seed, *draw) / 2**64, sums)


def _at_share(share: float, sums: Sequence[float]) -> int:
    """First index whose running sum is above a share, from 0 to 1, of the last one: never one of weight 0."""
    return min(bisect_right(sums, share * sums[-1]), bisect_left(sums, sums[-1]))


def class_turn(seed: int, epoch: int, rank: int, classes: int) -> tuple[int, int]:
    """Which of `classes` the foreground patch number `rank` of an epoch holds, and how many of that class came before.

    The classes take turns, in a new random order each time: any run of them has each equally often, to one.
    """
    turn, place = divmod(rank, classes)
    return permuted(place, classes, Purpose.CLASS_TURN, seed, epoch, turn), turn


def volume_of_class(seed: int, epoch: int, which: int, count: int, volumes: int) -> int:
    """Which of the `volumes` that have a class its patch number `count` comes from: passes, as `volume_of`."""
    turn, place = divmod(count, volumes)
    return permuted(place, volumes, Purpose.CLASS_VOLUME, seed, epoch, which, turn)


def is_on_foreground(seed: int, draw: Draw, fraction: float) -> bool:
    """Whether a patch must hold foreground: `fraction` of all, spread evenly, from a random phase per epoch.

    Any n consecutive patches hold n * `fraction` of them, rounded up or down: with 0.33 every batch of four has one.
    """
    return foreground_rank(seed, draw, fraction)[1]


def foreground_rank(seed: int, draw: Draw, fraction: float) -> tuple[int, bool]:
    """How many patches of the epoch before this one must hold foreground, and whether this one must."""
    phase = hash64(Purpose.FOREGROUND, seed, draw.epoch) / 2**64
    before = floor(draw.number * fraction + phase)
    return before, floor((draw.number + 1) * fraction + phase) > before


def uniform_start(seed: int, draw: Draw, size: Size, patch: Size) -> Size:
    """First voxel (x, y, z) of a patch that lies anywhere inside a volume, each place equally likely.

    Along an axis where the patch is larger than the volume it is centred, and begins at or before 0.
    """
    starts = [
        below(n - p + 1, Purpose.START, seed, *draw, axis) if n >= p else -((p - n) // 2)
        for axis, (n, p) in enumerate(zip(size, patch, strict=True))
    ]
    return starts[0], starts[1], starts[2]


def start_around(voxel: Sequence[int], size: Size, patch: Size) -> Size:
    """First voxel (x, y, z) of the patch that has `voxel` at its centre, moved inside the volume where it sticks out.

    As nnU-Net's: the patch always contains the voxel. Along an axis where it is larger than the volume it is centred.
    """
    starts = [
        min(max(int(v) - p // 2, 0), n - p) if n >= p else -((p - n) // 2)
        for v, n, p in zip(voxel, size, patch, strict=True)
    ]
    return starts[0], starts[1], starts[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of an epoch that one rank draws.

    The batches of an epoch are dealt to the ranks in turn: batch k of rank r is batch ``k * ranks + r`` of a single
    process. Together the ranks draw, at every step, what one process would have drawn, in its order.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    length: int
    """Patches in an epoch, over all ranks."""
    batch: int = 1
    """Patches in a batch of one rank."""
    rank: int = 0
    """From 0."""
    ranks: int = 1
    """How many processes train together."""
    wrap: bool = True
    """Training: a remainder is filled from the epoch's start, so that every rank has equally many full batches.
    Otherwise (validation) no index comes twice, and ranks may differ by one batch."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.batch < 1:
            raise ValueError(f"length and batch must be at least 1, got {self.length} and {self.batch}")
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank must be in 0 to {self.ranks - 1} (ranks - 1), got {self.rank}")

    @property
    def batches(self) -> int:
        """Batches of this rank in an epoch."""
        total = -(-self.length // self.batch)
        if self.wrap:
            return -(-total // self.ranks)
        return len(range(self.rank, total, self.ranks))

    @property
    def patches(self) -> int:
        """Patches of this rank in an epoch; only a last batch that is not wrapped is smaller than the others."""
        if self.batches == 0:
            return 0
        return (self.batches - 1) * self.batch + len(self.indices(self.batches - 1))

    def indices(self, batch: int) -> tuple[int, ...]:
        """Positions in the epoch that make up batch number `batch` of this rank."""
        first = (batch * self.ranks + self.rank) * self.batch
        if self.wrap:
            return tuple(k % self.length for k in range(first, first + self.batch))
        return tuple(range(first, min(first + self.batch, self.length)))
