"""What the values of a SEG's pixels say against its header: nothing but a look at them tells."""

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from .seg_pixels import SegmentPixels

Whole = NDArray[np.int64]


def value_findings(
    pixels: SegmentPixels, numbers: tuple[int, ...], *, is_map: bool, greatest: float | None, padding: int | None
) -> list[Finding]:
    """Values that the type of the segmentation does not allow, or that mean less than they should.

    Parameters
    ----------
    numbers : of the segments that are described
    is_map : whether pixels are segment numbers
    greatest : the value that stands for 1, of a fractional segmentation; None of others
    padding : Pixel Padding Value (0028,0120), which in a label map stands for no segment
    """
    if pixels.is_packed:  # bits: there is nothing else than 0 and 1
        return []
    values, counts = _histogram(pixels)
    if is_map:
        return _number_findings(values, counts, {0, *numbers} | ({padding} if padding is not None else set()))
    return _binary_findings(values) if greatest is None else _fraction_findings(values, counts, greatest)


def _histogram(pixels: SegmentPixels) -> tuple[Whole, Whole]:
    """The values that there are, rising, and how many pixels have each."""
    total: dict[int, int] = {}
    for frame in pixels:
        found, counts = np.unique(frame, return_counts=True) if frame.itemsize > 2 else _counted(frame)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            total[value] = total.get(value, 0) + count
    ordered = sorted(total)
    return np.array(ordered, dtype=np.int64), np.array([total[value] for value in ordered], dtype=np.int64)


def _counted(frame: NDArray[np.integer]) -> tuple[Whole, Whole]:
    """`numpy.unique` with counts, without sorting: ten times as fast for few values."""
    lowest = int(frame.min(initial=0))
    counts = np.bincount(frame.reshape(-1).astype(np.int64) - lowest)
    found = np.flatnonzero(counts)
    return found + lowest, counts[found]


def _number_findings(values: Whole, counts: Whole, known: set[int]) -> list[Finding]:
    is_unknown = ~np.isin(values, list(known))
    if not is_unknown.any():
        return []
    voxels, unknown = int(counts[is_unknown].sum()), values[is_unknown].tolist()
    message = f"{voxels} voxels are of segments that are not described ({unknown}) and are left out"
    about = {"voxels": voxels, "segments": len(unknown)}
    return [Finding(code="segment_frame_unknown", message=message, numbers=about)]


def _binary_findings(values: Whole) -> list[Finding]:
    shown = values[values != 0].tolist()
    if shown in ([], [1]):
        return []
    if len(shown) == 1:
        message = f"its type is BINARY, but its voxels have the value {shown[0]} instead of 1"
        return [Finding(code="segment_values_binary", message=message)]
    message = (
        f"its type is BINARY, but its voxels have {len(shown)} values other than 0, up to {shown[-1]}: bits or numbers "
        "may stand for segments, which nothing says"
    )
    return [Finding(code="segment_values_unexpected", message=message, numbers={"values": len(shown)})]


def _fraction_findings(values: Whole, counts: Whole, greatest: float) -> list[Finding]:
    """What a fractional segmentation loses in a mask, or that it is not fractional."""
    top = int(values.max(initial=0))
    if top > greatest:
        message = f"its type is FRACTIONAL with {greatest:g} as the greatest value (0062,000E), but it has {top}"
        return [Finding(code="segment_values_unexpected", message=message, numbers={"greatest": top})]
    between = int(counts[(values > 0) & (values < greatest)].sum())
    if not between:
        message = f"its type is FRACTIONAL, but it has no values other than 0 and {greatest:g}"
        return [Finding(code="segment_values_binary", message=message)]
    message = f"{between} voxels are fractional: those of at least half of {greatest:g} are taken"
    findings = [Finding(code="segment_thresholded", message=message, numbers={"voxels": between})]
    if top < greatest / 2:
        message = (
            f"its fractions are at most {top} of {greatest:g}: no voxel reaches half. Bits or numbers may stand for "
            "segments, or fractional=True is what is wanted"
        )
        findings.append(Finding(code="segment_below_half", message=message, numbers={"greatest": top}))
    return findings
