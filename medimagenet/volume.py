"""Volume, Mask, FractionalMask, Case: arrays with a `Grid`, names, findings; their ways to and from other libraries.

Arrays are (Z, Y, X), masks (C, Z, Y, X) with one channel per region, so that overlapping regions all survive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .findings import Finding
from .geometry import Grid

if TYPE_CHECKING:
    import nibabel
    import SimpleITK


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """Constants that turn stored values into what a network sees: ``(clip(value, low, high) - subtract) / divide``.

    They travel beside the voxels and are applied in the pass that crops and casts, so that a CT stays int16 on disk.

    Raises
    ------
    ValueError
        `divide` is zero or not finite, `subtract` is not finite, or `low` is not below `high`.
    """

    low: float = -inf
    high: float = inf
    subtract: float = 0.0
    divide: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.subtract) and isfinite(self.divide) and self.divide != 0 and self.low < self.high):
            raise ValueError(f"normalization needs low < high, finite subtract and a divide other than 0, got {self}")

    def to_dict(self) -> dict[str, float | None]:
        """JSON values; an absent clip is null."""
        low = self.low if isfinite(self.low) else None
        high = self.high if isfinite(self.high) else None
        return {"low": low, "high": high, "subtract": self.subtract, "divide": self.divide}

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> "Normalization":
        """The normalization that `to_dict` was called on."""
        clip = {"low": -inf, "high": inf}
        given = {name: float(value) for name, value in values.items() if value is not None}
        return cls(**{**clip, **given})


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image and its grid.

    Raises
    ------
    ValueError
        The array's last three axes are not the grid's shape.
    """

    array: NDArray[Any]
    """(Z, Y, X) or (C, Z, Y, X)."""
    grid: Grid
    unit: str | None = None
    """"HU", "SUVbw g/ml", "Bq/ml", "Gy" or None where the values have no unit (MR)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """DICOM keywords of the series: Modality, SeriesInstanceUID, PatientID, ..."""
    findings: tuple[Finding, ...] = ()
    normalization: Normalization | None = None
    """How training wants the values; None hands them out as they are."""

    def __post_init__(self) -> None:
        _check_shape("volume", self.array, self.grid, ndims=(3, 4))

    def with_array(self, array: NDArray[Any], grid: Grid | None = None) -> "Volume":
        """The same volume with other voxels, on another grid where one is given."""
        return replace(self, array=array, grid=grid or self.grid)

    def to_sitk(self) -> "SimpleITK.Image":
        """A SimpleITK image; a channel axis becomes a vector image."""
        return _to_sitk(self.array, self.grid)

    def to_nibabel(self) -> "nibabel.Nifti1Image":
        """A NIfTI image, axes x, y, z (, C), with qform and sform both set (code 1, scanner)."""
        return _to_nibabel(self.array, self.grid)

    @classmethod
    def from_sitk(cls, image: "SimpleITK.Image", **fields: Any) -> "Volume":
        """The volume of a 3-D SimpleITK image; `fields` are those of the class, such as unit."""
        import SimpleITK

        array = SimpleITK.GetArrayFromImage(image)
        if image.GetPixelIDTypeAsString().startswith("vector"):
            array = np.moveaxis(array.reshape(*array.shape[:3], -1), -1, 0)  # a vector of one has no axis of its own
        cosines = image.GetDirection()
        direction = (cosines[0:3], cosines[3:6], cosines[6:9])
        grid = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), direction)
        return cls(np.ascontiguousarray(array), grid, **fields)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Named regions on a grid, one channel each; regions may overlap and may be empty.

    Raises
    ------
    ValueError
        The array is not bool, not (C, Z, Y, X) on the grid, or has another number of channels than names.
    """

    array: NDArray[np.bool_]
    """(C, Z, Y, X)."""
    grid: Grid
    names: tuple[str, ...]
    """Per channel, as the file or the recipe has them."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """DICOM keywords of the object the mask comes from."""
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _check_shape("mask", self.array, self.grid, ndims=(4,))
        if self.array.dtype != np.bool_:
            raise ValueError(f"mask array must be bool, one channel per region, got {self.array.dtype}")
        if len(self.names) != len(self.array):
            raise ValueError(f"mask has {len(self.array)} channels but {len(self.names)} names: {self.names}")

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        """(Z, Y, X) of one region, by name."""
        if name not in self.names:
            raise KeyError(f"no region {name!r}; there are {', '.join(self.names)}")
        channel: NDArray[np.bool_] = self.array[self.names.index(name)]
        return channel

    def to_label_map(self) -> NDArray[np.uint8]:
        """(Z, Y, X) with 0 for background and k + 1 for region k. Where regions overlap, **the last one wins**.

        Raises
        ------
        ValueError
            There are more than 255 regions.
        """
        if len(self.names) > 255:
            raise ValueError(f"a uint8 label map holds 255 regions, this mask has {len(self.names)}")
        labels = np.zeros(self.grid.shape, dtype=np.uint8)
        for value, channel in enumerate(self.array, start=1):
            labels[channel] = value
        return labels

    def overlap_voxels(self) -> int:
        """Number of voxels that belong to more than one region: what `to_label_map` would lose."""
        return int(np.count_nonzero(self.array.sum(axis=0, dtype=np.uint16) > 1))

    def volumes_mm3(self) -> dict[str, float]:
        """Volume of each region in mm³: its voxels times the volume of one."""
        voxel = float(np.prod(self.grid.spacing))
        return {name: int(np.count_nonzero(c)) * voxel for name, c in zip(self.names, self.array, strict=True)}

    def to_nibabel(self) -> "nibabel.Nifti1Image":
        """A NIfTI image, uint8, axes x, y, z, C (C left out where there is one region)."""
        array = self.array.astype(np.uint8)
        return _to_nibabel(array[0] if len(array) == 1 else array, self.grid)


@dataclass(frozen=True, slots=True, eq=False)
class FractionalMask:
    """Named regions on a grid, one channel each: the share of each voxel that a region takes.

    Raises
    ------
    ValueError
        The array is not float32, not (C, Z, Y, X) on the grid, or has another number of channels than names.
    """

    array: NDArray[np.float32]
    """(C, Z, Y, X), 0 to 1."""
    grid: Grid
    names: tuple[str, ...]
    """Per channel, as the file or the recipe has them."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """DICOM keywords of the object the mask comes from."""
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _check_shape("mask", self.array, self.grid, ndims=(4,))
        if self.array.dtype != np.float32:
            raise ValueError(f"fractional mask array must be float32, one channel per region, got {self.array.dtype}")
        if len(self.names) != len(self.array):
            raise ValueError(f"mask has {len(self.array)} channels but {len(self.names)} names: {self.names}")

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """(Z, Y, X) of one region, by name."""
        if name not in self.names:
            raise KeyError(f"no region {name!r}; there are {', '.join(self.names)}")
        channel: NDArray[np.float32] = self.array[self.names.index(name)]
        return channel

    def volumes_mm3(self) -> dict[str, float]:
        """Volume of each region in mm³: the sum of its shares times the volume of a voxel."""
        voxel = float(np.prod(self.grid.spacing))
        sums = (float(channel.sum(dtype=np.float64)) for channel in self.array)
        return {name: total * voxel for name, total in zip(self.names, sums, strict=True)}

    def to_mask(self, threshold: float = 0.5) -> Mask:
        """The voxels of which a region takes at least `threshold`."""
        return Mask(self.array >= np.float32(threshold), self.grid, self.names, self.metadata, self.findings)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Case:
    """The decoded content of a sample: images by modality, one mask on the grid of the leading image."""

    sample_id: str
    patient_id: str
    images: Mapping[str, Volume]
    """By name, the leading modality first: "CT", "PT", ..."""
    mask: Mask | None = None
    """On the grid of the first image."""
    findings: tuple[Finding, ...] = ()
    """Of the sample as a whole; those of a series are with its volume or mask."""
    provenance: tuple[Mapping[str, Any], ...] = ()
    """The steps that were applied, in order, each with the values it used; JSON values only."""

    def all_findings(self) -> tuple[Finding, ...]:
        """Findings of the sample, its images and its mask."""
        parts = [self.findings, *(image.findings for image in self.images.values())]
        if self.mask is not None:
            parts.append(self.mask.findings)
        return tuple(finding for part in parts for finding in part)


def _check_shape(what: str, array: NDArray[Any], grid: Grid, ndims: tuple[int, ...]) -> None:
    if array.ndim not in ndims or array.shape[-3:] != grid.shape:
        raise ValueError(f"{what} array {array.shape} does not end with the (Z, Y, X) shape {grid.shape} of its grid")


def _to_sitk(array: NDArray[Any], grid: Grid) -> "SimpleITK.Image":
    import SimpleITK

    is_vector = array.ndim == 4
    image = SimpleITK.GetImageFromArray(np.moveaxis(array, 0, -1) if is_vector else array, isVector=is_vector)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection([cosine for row in grid.direction for cosine in row])
    return image


def _to_nibabel(array: NDArray[Any], grid: Grid) -> "nibabel.Nifti1Image":
    import nibabel

    xyz = np.moveaxis(array, 0, -1).transpose(2, 1, 0, 3) if array.ndim == 4 else array.transpose(2, 1, 0)
    image = nibabel.Nifti1Image(xyz, grid.affine_ras)
    image.set_qform(grid.affine_ras, code=1)
    image.set_sform(grid.affine_ras, code=1)
    return image
