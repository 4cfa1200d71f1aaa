"""Passes over blocks of voxels that are all asked for, in vector registers: what `_vectors` does, without a choice.

The additions are those of `block_sums` and `block_squares` in the same order, so the results are the same to the last
bit; without masks and tests in between they take half the time. Sums of whole numbers are exact.

What is normalised goes to memory past the caches, which need not fetch first what is overwritten.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from ._vectors import LANES, Block, lane_by_lane

_F32 = ir.VectorType(ir.FloatType(), LANES)
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FAR = 1 << 30


class _Voxels(Block):
    """Voxels of one block, sixteen at a time."""

    def __init__(self, context: Any, builder: Any, own: Any, values: Any) -> None:
        self._builder = builder
        self._dtype = own.args[0].dtype
        self._kind = context.get_data_type(self._dtype)
        self._voxels = context.make_array(own.args[0])(context, builder, values[0]).data
        self._start, self._count = values[1], values[2]

    @contextmanager
    def lines(self) -> Iterator[tuple[Any, Any]]:
        """The loop; gives where a line is in the block, and its voxels as they are."""
        zero, step = (ir.Constant(self._count.type, value) for value in (0, LANES))
        with cgutils.for_range_slice(self._builder, zero, self._count, step, inc=True) as (offset, _):
            yield offset, self._loaded(self._voxels, self._kind, self._builder.add(self._start, offset))

    def as_f64(self, line: Any) -> Any:
        return self._as_f64(line)

    def as_f32(self, line: Any) -> Any:
        if isinstance(self._kind, ir.FloatType):
            return line
        if isinstance(self._kind, ir.DoubleType):
            return self._builder.fptrunc(line, _F32)
        convert = self._builder.sitofp if self._is_signed() else self._builder.uitofp
        return convert(line, _F32)

    def as_i32(self, line: Any) -> Any:
        """Of at most 16 bits."""
        return (self._builder.sext if self._is_signed() else self._builder.zext)(line, self.i32)

    def limit(self, place: Any, order: str, line: Any) -> None:
        """Keep the lower ("<") or the higher (">") of what is held and a line."""
        held = self._builder.load(place)
        self._builder.store(self._closer(order, line, held), place)

    def furthest(self, place: Any, order: str) -> Any:
        """The lowest or the highest of the lanes."""
        return self.summed(place, lambda held, other: self._closer(order, other, held))

    def _closer(self, order: str, other: Any, held: Any) -> Any:
        kind = other.type.element if isinstance(other.type, ir.VectorType) else other.type
        is_whole = isinstance(kind, ir.IntType)
        compare = self._builder.icmp_signed if is_whole else self._builder.fcmp_ordered
        return self._builder.select(compare(order, other, held), other, held)

    def _is_signed(self) -> bool:
        return bool(getattr(self._dtype, "signed", False))


def _finite_sums() -> Callable[[Any, int, int], tuple[float, float, float]]:
    if config.DISABLE_JIT:
        return _finite_sums_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = _Voxels(context, builder, own, values)
        is_f32 = own.args[0].dtype == types.float32
        total = block.variable(block.f64, 0.0)
        low, high = (block.variable(_F32 if is_f32 else block.f64, start) for start in (np.inf, -np.inf))
        with block.lines() as (_, line):
            value = block.as_f64(line)
            builder.store(builder.fadd(builder.load(total), value), total)
            block.limit(low, "<", line if is_f32 else value)
            block.limit(high, ">", line if is_f32 else value)
        limits = [block.furthest(low, "<"), block.furthest(high, ">")]
        if is_f32:
            limits = [builder.fpext(limit, ir.DoubleType()) for limit in limits]
        return context.make_tuple(builder, own.return_type, [block.summed(total, builder.fadd), *limits])

    @intrinsic
    def call(_: Any, voxels: Any, start: Any, count: Any) -> Any:
        result = types.containers.Tuple([types.float64] * 3)
        return result(voxels, types.intp, types.intp), generate

    return call


def _finite_sums_slowly(voxels: Any, start: int, count: int) -> tuple[float, float, float]:
    value = voxels[start : start + count].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return lane_by_lane(value.reshape(-1, LANES)), float(value.min()), float(value.max())


finite_sums = _finite_sums()
"""Called in a kernel: ``finite_sums(voxels, start, count)`` gives sum, lowest and highest value of `count` voxels, a
multiple of `LANES`. The sum is finite where all voxels are (and do not overflow); else the limits mean nothing."""


def _finite_squares() -> Callable[[Any, int, int, float], float]:
    if config.DISABLE_JIT:
        return _finite_squares_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = _Voxels(context, builder, own, values)
        total, mean = block.variable(block.f64, 0.0), block.spread(values[3])
        with block.lines() as (_, line):
            distance = builder.fsub(block.as_f64(line), mean)
            builder.store(builder.fadd(builder.load(total), builder.fmul(distance, distance)), total)
        return block.summed(total, builder.fadd)

    @intrinsic
    def call(_: Any, voxels: Any, start: Any, count: Any, mean: Any) -> Any:
        return types.float64(voxels, types.intp, types.intp, types.float64), generate

    return call


def _finite_squares_slowly(voxels: Any, start: int, count: int, mean: float) -> float:
    distance = voxels[start : start + count].astype(np.float64).reshape(-1, LANES) - mean
    return lane_by_lane(distance * distance)


finite_squares = _finite_squares()
"""Called in a kernel: ``finite_squares(voxels, start, count, mean)`` sums squared distances from the mean."""


def _integer_sums() -> Callable[[Any, int, int], tuple[int, int, int, int]]:
    if config.DISABLE_JIT:
        return _integer_sums_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = _Voxels(context, builder, own, values)
        total, lower, upper = (block.variable(block.i32, 0) for _ in range(3))
        low, high = block.variable(block.i32, _FAR), block.variable(block.i32, -_FAR)
        with block.lines() as (_, line):
            value = block.as_i32(line)
            square = builder.mul(value, value)  # fits 32 bits without a sign; its halves are summed apart
            halves = builder.and_(square, block.i32([0xFFFF] * LANES)), builder.lshr(square, block.i32([16] * LANES))
            for place, part in zip((total, lower, upper), (value, *halves), strict=True):
                builder.store(builder.add(builder.load(place), part), place)
            block.limit(low, "<", value)
            block.limit(high, ">", value)
        lower_sum, upper_sum = (builder.zext(block.summed(place, builder.add), _I64) for place in (lower, upper))
        squares = builder.add(lower_sum, builder.shl(upper_sum, _I64(16)))
        signed = [block.summed(total, builder.add), block.furthest(low, "<"), block.furthest(high, ">")]
        total_sum, least, most = (builder.sext(value, _I64) for value in signed)
        return context.make_tuple(builder, own.return_type, [total_sum, squares, least, most])

    @intrinsic
    def call(_: Any, voxels: Any, start: Any, count: Any) -> Any:
        result = types.containers.Tuple([types.int64] * 4)
        return result(voxels, types.intp, types.intp), generate

    return call


def _integer_sums_slowly(voxels: Any, start: int, count: int) -> tuple[int, int, int, int]:
    value = voxels[start : start + count].astype(np.int64)
    return int(value.sum()), int((value * value).sum()), int(value.min()), int(value.max())


integer_sums = _integer_sums()
"""Called in a kernel: ``integer_sums(voxels, start, count)`` gives sum, sum of squares, lowest and highest of at most
2^15 voxels (a multiple of `LANES`) of at most 16 bits, exactly."""

NormalizePastCaches = Callable[[Any, int, int, int, np.float32, np.float32, np.float32, np.float32], None]


def _normalize_past_caches() -> NormalizePastCaches:
    if config.DISABLE_JIT:
        return _normalize_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = _Voxels(context, builder, own, values)
        low, high, subtract, divide = (block.spread(value) for value in values[4:])
        marked = builder.module.add_metadata([_I32(1)])
        with block.lines() as (offset, line):
            value = block.as_f32(line)
            value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
            value = builder.select(builder.fcmp_ordered(">", value, high), high, value)
            value = builder.fdiv(builder.fsub(value, subtract), divide)
            place = builder.inttoptr(builder.add(values[3], builder.mul(offset, _I64(4))), _F32.as_pointer())
            builder.store(value, place, align=4 * LANES).set_metadata("nontemporal", marked)
        return context.get_dummy_value()

    @intrinsic
    def call(
        _: Any, voxels: Any, start: Any, count: Any, address: Any, low: Any, high: Any, subtract: Any, divide: Any
    ) -> Any:
        numbers = [types.intp] * 3 + [types.float32] * 4
        return types.void(voxels, *numbers), generate

    return call


def _normalize_slowly(
    voxels: Any,
    start: int,
    count: int,
    address: int,
    low: np.float32,
    high: np.float32,
    subtract: np.float32,
    divide: np.float32,
) -> None:
    value = voxels[start : start + count].astype(np.float32)
    value = np.where(value < low, low, value)
    value = np.where(value > high, high, value)
    ctypes.memmove(int(address), ((value - subtract) / divide).tobytes(), 4 * count)


normalize_past_caches = _normalize_past_caches()
"""Called in a kernel: ``normalize_past_caches(voxels, start, count, address, low, high, subtract, divide)`` clips,
subtracts and divides in float32. `address` is a multiple of 64, `count` of `LANES`. The kernel ends with `fence`."""
