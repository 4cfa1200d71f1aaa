"""Sums over a block of voxels in vector registers: sixteen lanes side by side, in float64.

Without fastmath the compiler may not change the order of additions, so it adds one voxel after the other. Here the
order is fixed to what registers do: lane k sums voxels k, k + 16, k + 32, ..., then the lanes are added from the
first to the last. The result is the same on every machine, and without compilation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

LANES = 16

BlockSums = Callable[[Any, Any, int, int, bool], tuple[int, int, float, float, float]]
BlockSquares = Callable[[Any, Any, int, int, bool, float], float]


def block_sums(*, is_masked: bool) -> BlockSums:
    """How a kernel sums a block: ``call(voxels, chosen, start, count, nonzero)``, `count` a multiple of `LANES`.

    Gives how many voxels count, how many of those chosen are nan or infinite, their sum, lowest and highest value.

    Parameters
    ----------
    is_masked
        Whether only voxels count where `chosen` is true; else it is not looked at.
    """
    if config.DISABLE_JIT:
        return lambda voxels, chosen, start, count, nonzero: _sums_slowly(
            *_block(voxels, chosen, start, count, nonzero, is_masked)
        )

    @intrinsic
    def call(_: Any, voxels: Any, chosen: Any, start: Any, count: Any, nonzero: Any) -> Any:
        result = types.containers.Tuple([types.intp, types.intp, types.float64, types.float64, types.float64])
        return result(voxels, chosen, types.intp, types.intp, types.boolean), generate

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = Block(context, builder, own, values, is_masked)
        f64, i32 = block.f64, block.i32
        total, low, high = (block.variable(f64, start) for start in (0.0, np.inf, -np.inf))
        taken, broken = block.variable(i32, 0), block.variable(i32, 0)
        with block.lanes() as (value, counts, is_broken):
            add = builder.select(counts, value, f64([0.0] * LANES))
            builder.store(builder.fadd(builder.load(total), add), total)
            for limit, order, neutral in ((low, "<", np.inf), (high, ">", -np.inf)):
                other = builder.select(counts, value, f64([neutral] * LANES))
                held = builder.load(limit)
                builder.store(builder.select(builder.fcmp_ordered(order, other, held), other, held), limit)
            for number, which in ((taken, counts), (broken, is_broken)):
                builder.store(builder.add(builder.load(number), builder.zext(which, i32)), number)
        word = ir.IntType(64)
        numbers = [builder.zext(block.summed(number, builder.add), word) for number in (taken, broken)]
        least = block.summed(low, lambda a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))
        most = block.summed(high, lambda a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))
        parts = [*numbers, block.summed(total, builder.fadd), least, most]
        return context.make_tuple(builder, own.return_type, parts)

    return call


def block_squares(*, is_masked: bool) -> BlockSquares:
    """How a kernel sums squared distances: ``call(voxels, chosen, start, count, nonzero, mean)``. See `block_sums`."""
    if config.DISABLE_JIT:
        return lambda voxels, chosen, start, count, nonzero, mean: _squares_slowly(
            *_block(voxels, chosen, start, count, nonzero, is_masked)[:2], mean
        )

    @intrinsic
    def call(_: Any, voxels: Any, chosen: Any, start: Any, count: Any, nonzero: Any, mean: Any) -> Any:
        return types.float64(voxels, chosen, types.intp, types.intp, types.boolean, types.float64), generate

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        block = Block(context, builder, own, values, is_masked)
        total, mean = block.variable(block.f64, 0.0), block.spread(values[5])
        with block.lanes() as (value, counts, _):
            distance = builder.select(counts, builder.fsub(value, mean), block.f64([0.0] * LANES))
            builder.store(builder.fadd(builder.load(total), builder.fmul(distance, distance)), total)
        return block.summed(total, builder.fadd)

    return call


class Block:
    """Voxels and mask of one block, as vectors."""

    f64 = ir.VectorType(ir.DoubleType(), LANES)
    i32 = ir.VectorType(ir.IntType(32), LANES)

    def __init__(self, context: Any, builder: Any, own: Any, values: Any, is_masked: bool) -> None:
        self._builder, self._is_masked = builder, is_masked
        self._dtype = own.args[0].dtype
        self._kind = context.get_data_type(self._dtype)
        self._voxels = context.make_array(own.args[0])(context, builder, values[0]).data
        self._chosen = context.make_array(own.args[1])(context, builder, values[1]).data
        self._start, self._count = values[2], values[3]
        bit = values[4] if values[4].type.width == 1 else builder.trunc(values[4], ir.IntType(1))
        self._any_value = self.spread(builder.not_(bit))

    def variable(self, kind: Any, value: float) -> Any:
        place = cgutils.alloca_once(self._builder, kind)
        self._builder.store(kind([value] * LANES), place)
        return place

    def spread(self, scalar: Any) -> Any:
        """One value in all lanes."""
        kind = ir.VectorType(scalar.type, LANES)
        one = self._builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
        return self._builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), self.i32([0] * LANES))

    def lanes(self) -> Any:
        return _Lanes(self)

    def summed(self, place: Any, add: Callable[[Any, Any], Any]) -> Any:
        """The lanes joined, from the first to the last."""
        vector = self._builder.load(place)
        lanes = [self._builder.extract_element(vector, ir.IntType(32)(k)) for k in range(LANES)]
        total = lanes[0]
        for lane in lanes[1:]:
            total = add(total, lane)
        return total

    def at(self, index: Any) -> tuple[Any, Any, Any]:
        """Values, which of them count, and which of those chosen are not finite."""
        builder = self._builder
        value = self._as_f64(self._loaded(self._voxels, self._kind, index))
        finite = builder.fcmp_ordered("==", builder.fsub(value, value), self.f64([0.0] * LANES))
        asked = builder.or_(builder.fcmp_unordered("!=", value, self.f64([0.0] * LANES)), self._any_value)
        if self._is_masked:
            byte = ir.VectorType(ir.IntType(8), LANES)
            mask = self._loaded(self._chosen, ir.IntType(8), index)
            asked = builder.and_(asked, builder.icmp_unsigned("!=", mask, byte([0] * LANES)))
        return value, builder.and_(asked, finite), builder.and_(asked, builder.not_(finite))

    def _loaded(self, data: Any, kind: Any, index: Any) -> Any:
        place = self._builder.gep(data, [index])
        pointer = self._builder.bitcast(place, ir.VectorType(kind, LANES).as_pointer())
        return self._builder.load(pointer, align=1)

    def _as_f64(self, vector: Any) -> Any:
        if isinstance(self._kind, ir.DoubleType):
            return vector
        if isinstance(self._kind, ir.FloatType):
            return self._builder.fpext(vector, self.f64)
        convert = self._builder.sitofp if self._dtype.signed else self._builder.uitofp
        return convert(vector, self.f64)


class _Lanes:
    """``with``: the loop over a block, sixteen voxels at a time."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._loop: Any = None

    def __enter__(self) -> tuple[Any, Any, Any]:
        block = self._block
        step = ir.Constant(block._count.type, LANES)
        zero = ir.Constant(block._count.type, 0)
        self._loop = cgutils.for_range_slice(block._builder, zero, block._count, step, inc=True)
        offset, _ = self._loop.__enter__()
        return block.at(block._builder.add(block._start, offset))

    def __exit__(self, *problem: Any) -> Any:
        return self._loop.__exit__(*problem)


def _block(voxels: Any, chosen: Any, start: int, count: int, nonzero: bool, is_masked: bool) -> tuple[Any, Any, Any]:
    value = voxels[start : start + count].astype(np.float64).reshape(-1, LANES)
    asked = (value != 0) | (not nonzero)
    if is_masked:
        asked &= chosen[start : start + count].reshape(-1, LANES)
    finite = np.isfinite(value)
    return value, asked & finite, asked & ~finite


def lane_by_lane(values: Any) -> float:
    """Sum of (lines, `LANES`) in the order that the compiled code adds."""
    lanes = np.add.accumulate(values, axis=0)[-1]  # accumulate adds in order; sum may not
    return float(np.add.accumulate(lanes)[-1])


def _sums_slowly(value: Any, counts: Any, broken: Any) -> tuple[int, int, float, float, float]:
    taken = value[counts]
    low, high = (float(taken.min()), float(taken.max())) if len(taken) else (np.inf, -np.inf)
    return int(counts.sum()), int(broken.sum()), lane_by_lane(np.where(counts, value, 0.0)), low, high


def _squares_slowly(value: Any, counts: Any, mean: float) -> float:
    with np.errstate(invalid="ignore"):
        distance = np.where(counts, value - mean, 0.0)
    return lane_by_lane(distance * distance)
