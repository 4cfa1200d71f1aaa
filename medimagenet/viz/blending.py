"""Grey slices and coloured masks on them: arrays in, arrays out.

One law holds for every picture: **a pixel has colour exactly when it belongs to a mask.** Grey pixels have three equal
channels, class colours are far from grey, and each masked pixel is blended with one class colour only.
"""

import colorsys

import numpy as np
from numpy.typing import ArrayLike, NDArray

PALETTE = (  # after Okabe and Ito (2008), told apart by the colour-blind too; no black and no grey, which tissue has
    (230, 70, 0),
    (86, 180, 233),
    (0, 200, 130),
    (240, 228, 66),
    (204, 100, 190),
    (0, 114, 220),
    (230, 159, 0),
)
GOLDEN = 0.618034  # steps of this part of the hue circle stay far from all earlier ones


def class_colors(number: int) -> NDArray[np.uint8]:
    """(number, 3) RGB, one per class: the same for the same class number in every picture."""
    further = [colorsys.hsv_to_rgb((k * GOLDEN) % 1, 0.8, 0.9) for k in range(max(0, number - len(PALETTE)))]
    colors = [*PALETTE, *(tuple(round(255 * part) for part in rgb) for rgb in further)]
    return np.array(colors[:number], dtype=np.uint8).reshape(number, 3)


def window(values: ArrayLike, low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` and below to black, `high` and above to white, linearly between (DICOM PS3.3 C.11.2.1.3.2).

    Parameters
    ----------
    values : any shape
        Values that are not finite become black.
    low, high : in the unit of the values

    Raises
    ------
    ValueError
        `low` is not below `high`.
    """
    if not low < high:
        raise ValueError(f"a window needs low < high, got low={low}, high={high}")
    shades = (np.asarray(values, dtype=np.float64) - low) * (255.0 / (high - low))
    shades = np.nan_to_num(shades, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(np.rint(shades), 0, 255).astype(np.uint8)


def overlay(
    grey: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    colors: NDArray[np.uint8],
    *,
    fill: float = 0.35,
    edge: float = 1.0,
) -> NDArray[np.uint8]:
    """Lay masks over a slice: filled lightly, with an edge drawn on the mask's own outermost pixels.

    Where classes overlap the later one is on top; the edges of those below stay visible.

    Parameters
    ----------
    grey : (rows, columns)
    masks : (classes, rows, columns)
    colors : (classes, 3)
        As of `class_colors`.
    fill, edge : above 0, up to 1
        Opacity inside, and on the edge.

    Returns
    -------
    picture : (rows, columns, 3)

    Raises
    ------
    ValueError
        The shapes do not fit each other, or an opacity is outside (0, 1].
    """
    if masks.ndim != 3 or masks.shape[1:] != grey.shape or colors.shape != (len(masks), 3):
        raise ValueError(f"masks {masks.shape} and colors {colors.shape} do not fit a slice of shape {grey.shape}")
    if not (0 < fill <= 1 and 0 < edge <= 1):
        raise ValueError(f"opacities must be above 0 and up to 1, got fill={fill}, edge={edge}")
    picture = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    for opacity, regions in ((fill, masks), (edge, np.array([outline(mask) for mask in masks], dtype=np.bool_))):
        for region, color in zip(regions, colors, strict=True):
            blended = (1 - opacity) * grey[region, np.newaxis] + opacity * color.astype(np.float64)
            picture[region] = np.rint(blended).astype(np.uint8)
    return picture


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, columns): pixels of the mask that have a side neighbour outside it, or lie at the border of the slice."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
