"""A body of analytic organs: who is where, how large, and what CT, MR and PET show there.

Organs are listed in the order in which they are painted: where two overlap, the image shows the later one, and both
masks hold the voxel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Direction, Grid, Triple
from ..volume import Mask
from .shapes import Ellipsoid, Shape, Shell, Torus

AIR: Mapping[str, float] = {"CT": -1000.0, "MR": 0.0, "PT": 0.0}
"""What each modality shows outside the body: HU, signal, SUV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organ:
    """A named shape and what the modalities show inside it."""

    name: str
    shape: Shape
    values: Mapping[str, float]
    """By modality: CT in HU (whole numbers), MR as signal, PT as SUVbw in g/ml."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """Organs in the order they are painted.

    Raises
    ------
    ValueError
        No organ, more than 255, or a repeated name.
    """

    organs: tuple[Organ, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.organs) <= 255 or len(set(self.names)) != len(self.organs):
            raise ValueError(f"a phantom has 1 to 255 organs with names of their own, got {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """The organs' names, in painting order."""
        return tuple(organ.name for organ in self.organs)

    @property
    def volumes_mm3(self) -> dict[str, float]:
        """The exact volume of each organ, mm³."""
        return {organ.name: organ.shape.volume_mm3 for organ in self.organs}

    def __getitem__(self, name: str) -> Organ:
        """An organ by name."""
        for organ in self.organs:
            if organ.name == name:
                return organ
        raise KeyError(f"no organ {name!r}; there are {', '.join(self.names)}")

    def masks(self, grid: Grid, names: Sequence[str] | None = None) -> Mask:
        """The true masks on any grid: a voxel is in when its centre is in the shape. All organs, or those named."""
        chosen = tuple(self.names if names is None else names)
        return Mask(np.stack([self[name].shape.mask(grid) for name in chosen]), grid, chosen)

    def painted_slice(self, grid: Grid, k: int) -> NDArray[np.uint8]:
        """(Y, X) of slice `k`: 0 in air, n + 1 where organ n is the last to be painted."""
        top = np.zeros((grid.size[1], grid.size[0]), dtype=np.uint8)
        for number, organ in enumerate(self.organs, start=1):
            slices, rows, columns = organ.shape.window(grid)
            if slices.start <= k < slices.stop:
                top[rows, columns][organ.shape.level_of_slice(grid, k, rows, columns) >= 0.0] = number
        return top

    def palette(self, modality: str) -> NDArray[np.float64]:
        """Value of air and of each organ, in the numbering of `painted_slice`."""
        return np.array([AIR[modality], *(organ.values[modality] for organ in self.organs)])

    def image(self, grid: Grid, modality: str) -> NDArray[np.float64]:
        """(Z, Y, X): what a perfect scanner of `modality` ("CT", "MR" or "PT") shows at each voxel centre."""
        palette = self.palette(modality)
        return np.stack([palette[self.painted_slice(grid, k)] for k in range(grid.size[2])])


# What a person of the atlas is made of, in units of the body's half axes (x left, y posterior, z superior): kind,
# centre, radii, CT (HU), MR (signal), PT (SUV). Soft tissues differ by 10 to 40 HU, about as much as noise and texture
# together, so that a threshold does not find them. Stomach and liver overlap; the tumour is placed inside the liver.
_ATLAS: tuple[tuple[str, type[Shape], Triple, Triple, Triple], ...] = (
    ("body", Ellipsoid, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (20, 300, 1.0)),
    ("spine", Ellipsoid, (0.0, 0.68, 0.05), (0.13, 0.13, 0.52), (320, 120, 1.3)),
    ("lung_right", Ellipsoid, (-0.42, 0.0, 0.40), (0.24, 0.36, 0.32), (-780, 40, 0.5)),
    ("lung_left", Ellipsoid, (0.42, 0.0, 0.40), (0.24, 0.36, 0.32), (-780, 40, 0.5)),
    ("liver", Ellipsoid, (-0.32, -0.02, -0.22), (0.42, 0.44, 0.22), (60, 420, 2.2)),
    ("stomach", Ellipsoid, (0.24, -0.20, -0.18), (0.30, 0.28, 0.18), (38, 240, 1.6)),
    ("kidney", Torus, (0.44, 0.34, -0.38), (0.19, 0.19, 0.26), (45, 520, 3.0)),
    ("bladder", Shell, (0.0, -0.08, -0.70), (0.24, 0.24, 0.20), (10, 600, 6.0)),
    ("GTV", Ellipsoid, (0.0, 0.0, 0.0), (0.13, 0.13, 0.10), (95, 560, 8.0)),
)
_EXTRA: Mapping[type[Shape], Mapping[str, float]] = {Torus: {"tube": 0.45}, Shell: {"inner": 0.6}, Ellipsoid: {}}
_BODY_PART = 0.88  # of the field of view along each axis; the rest is air


def random_phantom(grid: Grid, seed: int | Sequence[int] = 0) -> Phantom:
    """A body that fills the field of view of `grid`, with an anatomy drawn from `seed`.

    Every organ lies inside the body, and the body inside the grid, oblique or not. Positions, radii, tilts and values
    vary; the volume of the tumour (organ "GTV", inside the liver) varies by a factor of up to about 20.

    Returns
    -------
    Phantom with the organs body, spine, lung_right, lung_left, liver, stomach, kidney (a torus), bladder (a hollow
    shell) and GTV. Stomach and liver overlap.
    """
    rng = np.random.default_rng(seed)
    half = _half_axes(grid) * rng.uniform(0.9, 1.0, 3)
    shift = (_half_axes(grid) - half) * rng.uniform(-0.9, 0.9, 3) * 0.5
    middle = grid.to_patient((np.asarray(grid.size) - 1) / 2) + shift
    organs: list[Organ] = []
    for name, kind, center, radii, values in _ATLAS:
        place, size, axes = _varied(rng, name, np.asarray(center), np.asarray(radii), organs, (middle, half))
        fields: dict[str, Any] = {"center": _triple(place), "radii": _triple(size), "axes": axes, **_EXTRA[kind]}
        organs.append(Organ(name=name, shape=kind(**fields), values=_varied_values(rng, values)))
    return Phantom(tuple(organs))


def _half_axes(grid: Grid) -> NDArray[np.float64]:
    """Half axes (mm, along patient x, y, z) of an upright ellipsoid that fits into a grid's box, turned or not."""
    box = np.asarray(grid.size) * np.asarray(grid.spacing) / 2 * _BODY_PART  # along the grid's axes
    cosines = np.abs(np.asarray(grid.direction))
    nominal = np.array([box[int(np.argmax(row))] for row in cosines])
    reach = np.sqrt(((nominal[:, None] * cosines) ** 2).sum(axis=0))  # of that ellipsoid along the grid's axes
    return nominal * min(1.0, float((box / reach).min()))


def _varied(
    rng: np.random.Generator,
    name: str,
    center: NDArray[np.float64],
    radii: NDArray[np.float64],
    organs: Sequence[Organ],
    body: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], Direction]:
    """Centre (mm), radii (mm) and axes of one organ of one person."""
    middle, half = body
    upright: Direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    if name == "body":
        return middle, half, upright
    if name == "GTV":
        liver = next(organ.shape for organ in organs if organ.name == "liver")
        size = half * radii * np.exp(rng.uniform(-0.5, 0.5)) * rng.uniform(0.9, 1.1, 3)
        room = np.maximum(np.asarray(liver.radii) - size, 0.0) / np.sqrt(3.0)
        return np.asarray(liver.center) + room * rng.uniform(-0.9, 0.9, 3), size, upright
    center = center + rng.uniform(-0.03, 0.03, 3)
    radii = radii * rng.uniform(0.88, 1.0, 3)
    return middle + half * center, half * radii, _tilt(rng, half) if name != "spine" else upright


def _tilt(rng: np.random.Generator, half: NDArray[np.float64]) -> Direction:
    """A turn about z, small where the body is long and thin, so that organs stay inside."""
    angle = rng.uniform(-0.15, 0.15) * float(half[:2].min() / half[:2].max())
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    return (cosine, -sine, 0.0), (sine, cosine, 0.0), (0.0, 0.0, 1.0)


def _varied_values(rng: np.random.Generator, values: Triple) -> dict[str, float]:
    hu, signal, suv = values
    return {
        "CT": float(round(hu + rng.uniform(-4, 4))),
        "MR": float(round(signal * rng.uniform(0.95, 1.05))),
        "PT": round(suv * rng.uniform(0.9, 1.1), 3),
    }


def _triple(values: NDArray[np.float64]) -> Triple:
    x, y, z = (round(float(value), 6) for value in values)
    return x, y, z
