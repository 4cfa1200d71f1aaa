"""Steps that change the values of an image through SimpleITK or MONAI. The grid stays as it is."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..._optional import require
from ...volume import Case, Volume
from .step import Stage, image_of, not_applied, recorded

if TYPE_CHECKING:
    import SimpleITK

_PRECISION = np.float32
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class N4BiasCorrection:
    """Divide an MR image by its bias field (Tustison et al., IEEE TMI 29:1310, 2010), which becomes float32.

    The field is fitted on a shrunk image, over the voxels above Otsu's threshold, and evaluated on the full grid. An
    image without positive voxels, or of one value, stays as it is, with the finding `step_not_applied`.

    Raises
    ------
    ValueError
        A setting is not positive; when called: there is no such image.
    """

    stage: ClassVar[Stage] = "source"

    image: str = "MR"
    shrink: int = 4
    """The field is fitted on every so many voxels along each axis: at 4 some forty times as fast as on all."""
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    """Most steps per level of the fit; each level halves the distance of the spline's knots."""
    convergence: float = 0.001
    """Change of the field at which a level ends."""

    def __post_init__(self) -> None:
        if self.shrink < 1 or not self.iterations or min(self.iterations) < 1 or not self.convergence > 0:
            raise ValueError(f"shrink, iterations and convergence must be positive, got {self}")

    def __call__(self, case: Case, *, progress: Progress | None = None) -> Case:
        """The corrected case. `progress` is called with (iterations done, most iterations), the last time with both."""
        image = image_of(case, self.image)
        if min(image.grid.size) < 2:
            return not_applied(case, self, self.image, f"has {image.grid.size} voxels: the fit needs more")
        if not _varies(image.array):
            return not_applied(case, self, self.image, "has no two different positive values")
        figures: dict[str, Any] = {}
        counter = _Iterations(progress, self.iterations, image.array.size // prod(image.grid.size))
        values = _by_channel(image, lambda array: self._corrected(array, image, figures, counter))
        return recorded(case, self, figures, images={**case.images, self.image: image.with_array(values)})

    def _corrected(
        self, array: NDArray[Any], image: Volume, figures: dict[str, Any], counter: "_Iterations"
    ) -> NDArray[Any]:
        import SimpleITK

        full = Volume(array.astype(_PRECISION), image.grid).to_sitk()
        factors = [max(1, min(self.shrink, n // 4)) for n in image.grid.size]
        small = SimpleITK.Shrink(full, factors)
        positive = SimpleITK.OtsuThreshold(small, 0, 1)
        positive = SimpleITK.And(positive, SimpleITK.Cast(small > 0, positive.GetPixelID()))
        corrector = SimpleITK.N4BiasFieldCorrectionImageFilter()
        corrector.SetMaximumNumberOfIterations(list(self.iterations))
        corrector.SetConvergenceThreshold(self.convergence)
        corrector.AddCommand(SimpleITK.sitkIterationEvent, lambda: counter.tell(corrector))
        corrector.Execute(small, positive)
        counter.end_channel()
        field_image = SimpleITK.Exp(corrector.GetLogBiasFieldAsImage(full))
        bias: NDArray[Any] = SimpleITK.GetArrayViewFromImage(field_image)
        figures["bias_range"] = [float(bias.min()), float(bias.max())]
        corrected: NDArray[Any] = (array / bias).astype(_PRECISION)
        return corrected


@dataclass(slots=True)
class _Iterations:
    """Tells how far N4 has come: levels may end early, channels follow one another."""

    progress: Progress | None
    levels: tuple[int, ...]
    channels: int
    channel: int = 0

    def tell(self, corrector: Any) -> None:
        """Called by SimpleITK at every iteration."""
        if self.progress is not None:
            level = min(int(corrector.GetCurrentLevel()), len(self.levels) - 1)
            done = sum(self.levels[:level]) + min(int(corrector.GetElapsedIterations()), self.levels[level])
            self.progress(self.channel * sum(self.levels) + done, self.channels * sum(self.levels))

    def end_channel(self) -> None:
        """One channel is fitted."""
        self.channel += 1
        if self.progress is not None:
            self.progress(self.channel * sum(self.levels), self.channels * sum(self.levels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoise:
    """Smooth noise, keep edges. Whole numbers stay whole with "median"; the others give float32.

    Raises
    ------
    ValueError
        A setting is not positive; when called: there is no such image.
    """

    stage: ClassVar[Stage] = "source"
    version: ClassVar[int] = 1
    """1: curvature gives float32."""

    image: str
    method: Literal["curvature", "median", "gaussian"] = "curvature"
    """Curvature: SimpleITK's CurvatureFlow; median and Gaussian keep edges less."""
    strength: float = 1.0
    """Curvature: iterations, each of a stable time step; median: radius in voxels; Gaussian: standard deviation, mm."""

    def __post_init__(self) -> None:
        if self.method not in ("curvature", "median", "gaussian"):
            raise ValueError(f"method must be curvature, median or gaussian, got {self.method!r}")
        if not (isfinite(self.strength) and self.strength > 0):
            raise ValueError(f"strength must be positive and finite, got {self.strength}")

    def __call__(self, case: Case) -> Case:
        """The smoothed case."""
        image = image_of(case, self.image)
        values = _by_channel(image, lambda array: self._smooth(array, image))
        return recorded(case, self, images={**case.images, self.image: image.with_array(values)})

    def _smooth(self, array: NDArray[Any], image: Volume) -> NDArray[Any]:
        import SimpleITK

        if self.method == "median":
            source = Volume(array, image.grid).to_sitk()
            return _array_of(SimpleITK.Median(source, [max(1, round(self.strength))] * 3))
        source = Volume(array.astype(_PRECISION), image.grid).to_sitk()
        if self.method == "gaussian":
            return _array_of(SimpleITK.DiscreteGaussian(source, self.strength**2))
        smooth = SimpleITK.CurvatureFlow(source, 0.0625, max(1, round(self.strength)))  # a step that is stable in 3-D
        return _array_of(smooth).astype(_PRECISION)  # it comes as float64


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleItkFilter:
    """Any image filter of SimpleITK that takes one image and gives one on the same grid.

    Raises
    ------
    ValueError
        SimpleITK has no such filter or setting; when called: there is no such image, or the grid changes.
    """

    stage: ClassVar[Stage] = "source"

    image: str
    filter: str
    """Its class, such as "MedianImageFilter"."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By SimpleITK's names without "Set", such as {"Radius": [1, 1, 1]}; lists are x, y, z."""

    def __post_init__(self) -> None:
        self._made()

    def __call__(self, case: Case) -> Case:
        """The filtered case."""
        image = image_of(case, self.image)
        values = _by_channel(image, lambda array: self._run(Volume(array, image.grid)))
        return recorded(case, self, images={**case.images, self.image: image.with_array(values)})

    def _made(self) -> Any:
        import SimpleITK

        kind = getattr(SimpleITK, self.filter, None) if self.filter.endswith("ImageFilter") else None
        if kind is None:
            raise ValueError(f"SimpleITK has no image filter {self.filter!r}: name its class, as MedianImageFilter")
        made = kind()
        for name, value in self.settings.items():
            setter = getattr(made, f"Set{name}", None)
            if setter is None:
                known = sorted(each[3:] for each in dir(made) if each.startswith("Set"))
                raise ValueError(f"{self.filter} has no setting {name!r}; it has {', '.join(known)}")
            setter(list(value) if isinstance(value, list | tuple) else value)
        return made

    def _run(self, volume: Volume) -> NDArray[Any]:
        result = Volume.from_sitk(self._made().Execute(volume.to_sitk()))
        if not result.grid.is_close(volume.grid):
            raise ValueError(f"{self.filter} changes the grid {volume.grid} to {result.grid}: use Resample or CropPad")
        return result.array


@dataclass(frozen=True, slots=True, kw_only=True)
class MonaiTransform:
    """Any array transform of MONAI that keeps the shape. It gets (C, X, Y, Z), as in MONAI, and gives float32.

    A random transform does not belong here: it would be the same for ever. Use it on patches, in training.

    Raises
    ------
    ValueError
        MONAI has no such transform, or a random one is asked for; when called: no such image, or the shape changes.
    MissingPackageError
        MONAI is not installed.
    """

    stage: ClassVar[Stage] = "source"

    image: str
    transform: str
    """Its class, such as "GaussianSmooth"."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its arguments; what MONAI takes per axis is x, y, z."""

    def __post_init__(self) -> None:
        if self.transform.startswith("Rand"):
            raise ValueError(f"{self.transform} is random: it belongs to training, not to a recipe")

    def __call__(self, case: Case) -> Case:
        """The transformed case."""
        image = image_of(case, self.image)
        lead = image.array.reshape(-1, *image.grid.shape)
        given = np.ascontiguousarray(lead.transpose(0, 3, 2, 1), dtype=_PRECISION)
        result = np.asarray(self._made()(given), dtype=_PRECISION)
        if result.shape != given.shape:
            raise ValueError(f"{self.transform} changes the shape (C, X, Y, Z) {given.shape} to {result.shape}")
        values = np.ascontiguousarray(result.transpose(0, 3, 2, 1)).reshape(image.array.shape)
        return recorded(case, self, images={**case.images, self.image: image.with_array(values)})

    def _made(self) -> Any:
        require("monai", extra="train")
        kind = getattr(importlib.import_module("monai.transforms"), self.transform, None)
        if kind is None:
            raise ValueError(f"MONAI has no transform {self.transform!r}")
        return kind(**self.settings)


def _by_channel(image: Volume, function: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """A function of (Z, Y, X) applied to an image, or to each of its channels."""
    channels = [function(channel) for channel in image.array.reshape(-1, *image.grid.shape)]
    return (
        np.stack(channels).reshape(image.array.shape) if len(channels) > 1 else channels[0].reshape(image.array.shape)
    )


def _array_of(image: "SimpleITK.Image") -> NDArray[Any]:
    import SimpleITK

    array: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    return array


def _varies(array: NDArray[Any]) -> bool:
    positive = array[array > 0]
    return positive.size > 0 and bool(positive.min() < positive.max())
