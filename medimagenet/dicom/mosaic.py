"""Siemens mosaics: the slices of a volume as tiles of one image, with their number and normal in private data.

Tiles fill the image row by row. Its Image Position (Patient) is that of the corner an image of its full size would
have if its centre were that of the first slice, so the first tile begins half the difference of the sizes further in.
Slices follow the normal that the private data state, which may run against row x column (nibabel, `nicom`).
"""

import re
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import Elements
from .header import ImageHeader, private_row
from .stack import SlicePlane

_CSA, _MR, _MAGIC = "SIEMENS CSA HEADER", "SIEMENS MR HEADER", b"SV10"
_TAG_NAME, _TAG_HEAD, _ITEM_HEAD = 64, 84, 16  # bytes of the CSA format, version 2
_MOST_TAGS, _MOST_ITEMS = 1000, 1000  # beyond it the header is damaged
_PLACE = "sSliceArray.asSlice[{}].sPosition.d"
_AXES = ("Sag", "Cor", "Tra")
_ASSIGNMENT = re.compile(rb"^(sSliceArray\.[\w.\[\]]+)[ \t]*=[ \t]*([-+.\deE]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tiling:
    """The slices of a mosaic."""

    planes: tuple[SlicePlane, ...]
    corners: tuple[tuple[int, int], ...]
    """Row and column of each tile's first pixel."""


def mosaic_tiling(header: ImageHeader, plane: SlicePlane) -> Tiling | None:
    """How a mosaic is cut; None where it does not say how many slices it holds, or where they lie."""
    known = _csa_values(header.elements)
    count = _count(header.elements, known)
    step = header.values.get("SpacingBetweenSlices") or header.values.get("SliceThickness")
    if not count or step is None or plane.position is None or plane.orientation is None or plane.pixel_spacing is None:
        return None
    side = ceil(sqrt(count))
    rows, columns = plane.rows // side, plane.columns // side
    normal = _normal(known, np.array(plane.orientation).reshape(2, 3), count)
    if normal is None or rows * side != plane.rows or columns * side != plane.columns or not float(step) > 0:
        return None
    first = _first_corner(plane, rows, columns)
    planes = [
        replace(plane, position=tuple((first + k * float(step) * normal).tolist()), rows=rows, columns=columns)
        for k in range(count)
    ]
    image_type = tuple(word for word in plane.image_type if word != "MOSAIC")
    corners = [(k // side * rows, k % side * columns) for k in range(count)]
    return Tiling(tuple(replace(plane, image_type=image_type) for plane in planes), tuple(corners))


def _first_corner(plane: SlicePlane, rows: int, columns: int) -> NDArray[np.float64]:
    """Where the first voxel of the first slice lies, LPS mm."""
    cosines = np.array(plane.orientation).reshape(2, 3)
    between_rows, between_columns = plane.pixel_spacing or (1.0, 1.0)
    inwards = (plane.columns - columns) / 2 * between_columns * cosines[0]
    inwards = inwards + (plane.rows - rows) / 2 * between_rows * cosines[1]
    corner: NDArray[np.float64] = np.array(plane.position) + inwards
    return corner


def _count(elements: Elements, known: dict[str, list[str]]) -> int:
    """How many tiles are slices; 0 where nothing says so."""
    row = private_row(elements, 0x0019, _MR, 0x0A)
    if row is not None:
        return elements.number(row) or 0
    texts = known.get("NumberOfImagesInMosaic") or known.get("sSliceArray.lSize") or ["0"]
    return int(float(texts[0]))


def _normal(known: dict[str, list[str]], cosines: NDArray[np.float64], count: int) -> NDArray[np.float64] | None:
    """Direction from slice to slice: along or against row x column, as the private data say; None where they do not."""
    along = np.cross(cosines[0], cosines[1])
    stated: Any = known.get("SliceNormalVector")
    if stated is None or len(stated) != 3:
        ends = [[float(known.get(_PLACE.format(k) + axis, ["0"])[0]) for axis in _AXES] for k in (0, count - 1)]
        stated = np.subtract(ends[1], ends[0])
    towards = float(np.array(stated, dtype=np.float64) @ along)
    if abs(towards) < 1e-3:  # slices that share a place: nothing was stated
        return None
    normal: NDArray[np.float64] = along * np.sign(towards)
    return normal


def _csa_values(elements: Elements) -> dict[str, list[str]]:
    """Values of the image's CSA header, and of the slices in the protocol of the series' one."""
    known: dict[str, list[str]] = {}
    image, series = (_csa_row(elements, element) for element in (0x10, 0x20))
    if image is not None:
        known |= read_csa(elements.value(image))
    if series is not None:
        for name, value in _ASSIGNMENT.findall(elements.value(series)):
            known.setdefault(name.decode("ascii"), [value.decode("ascii")])
    return known


def _csa_row(elements: Elements, element: int) -> int | None:
    """The row of a CSA header; where anonymising took the creator's name, the usual tag if it holds one."""
    row = private_row(elements, 0x0029, _CSA, element)
    if row is None:
        row = elements.fields().get(0x00291000 | element)
        return row if row is not None and elements.value(row)[:4] == _MAGIC else None
    return row


def read_csa(raw: bytes) -> dict[str, list[str]]:
    """The values of a CSA header of version 2, by name; what is cut off or of another version is left out."""
    found: dict[str, list[str]] = {}
    if raw[:4] != _MAGIC or len(raw) < 16:
        return found
    n_tags, at = int.from_bytes(raw[8:12], "little"), 16
    for _ in range(min(n_tags, _MOST_TAGS)):
        if at + _TAG_HEAD > len(raw):
            return found
        name = raw[at : at + _TAG_NAME].split(b"\0")[0].decode("latin-1")
        n_items = int.from_bytes(raw[at + 76 : at + 80], "little")
        at += _TAG_HEAD
        texts = []
        for _ in range(min(n_items, _MOST_ITEMS)):
            length = int.from_bytes(raw[at + 4 : at + 8], "little")
            at += _ITEM_HEAD
            texts.append(raw[at : at + length].split(b"\0")[0].decode("latin-1").strip())
            at += ceil(length / 4) * 4
        if any(texts):
            found[name] = [text for text in texts if text]
    return found
