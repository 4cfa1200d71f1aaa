"""The slices that image instances hold: the instance itself, the frames of a multi-frame one, the tiles of a mosaic.

An enhanced CT, MR or PET (DICOM PS3.3 C.7.6.16) says per frame, in functional groups, what a single-frame object says
once: its place, its spacing, its rescale and what tells its frames apart. A group stands with all frames or with each;
what stands with the frame counts. Where neither has it, the top level of the object is asked, as older writers use it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._lazy import LazyModule
from ..errors import DicomError
from ..findings import Finding
from .elements import read_dataset
from .header import ImageHeader
from .mosaic import Tiling, mosaic_tiling
from .pixels import Rescale, rescale_from, rescale_of
from .separators import plain, values_apart
from .stack import SlicePlane, plane_from_values

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom")  # slow, and plain series do without

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameContentSequence": (
        *("StackID", "TemporalPositionIndex", "FrameAcquisitionNumber", "FrameAcquisitionDateTime"),
        "FrameReferenceDateTime",
    ),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRModifierSequence": ("InversionTimes",),
    "MRTimingAndRelatedParametersSequence": ("FlipAngle",),
    "MRVelocityEncodingSequence": ("VelocityEncodingDirection",),
    "MRArterialSpinLabelingSequence": ("ASLContext",),
    "CTXRayDetailsSequence": ("KVP",),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "CardiacSynchronizationSequence": ("NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime"),
    "RespiratorySynchronizationSequence": (
        *("NominalPercentageOfRespiratoryPhase", "NominalRespiratoryTriggerDelayTime"),
    ),
    "MRImageFrameTypeSequence": ("FrameType", "ComplexImageComponent"),
    "CTImageFrameTypeSequence": ("FrameType",),
    "PETFrameTypeSequence": ("FrameType",),
}
"""Functional group -> what is taken from it."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice of a series."""

    header: ImageHeader
    """Of the instance that holds it."""
    plane: SlicePlane
    rescale: Rescale
    has_rescale: bool = True
    """Whether the header gives a slope; False: stored values are taken as they are."""
    number: int = 0
    """Which frame of the instance, from 0."""
    corner: tuple[int, int] | None = None
    """Row and column of its first pixel in the stored image, of a tile of a mosaic; None: it is the whole image."""
    values: Mapping[str, Any] | None = None
    """What may tell it from others at its place; None of a single-frame instance, see `separating_values`."""

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.header.name


def frames_of(header: ImageHeader) -> list[Frame]:
    """The slices of an image instance, in its own order.

    Raises
    ------
    DicomError
        Its number of frames, its functional groups or its rescale cannot be understood.
    """
    _check_count(header)
    plane = plane_from_values(header.values)
    if plane.n_frames > 1 or _may_have_groups(header):
        frames = _enhanced_frames(header, plane)
        if frames:
            return frames
    if "MOSAIC" in plane.image_type and plane.n_frames == 1:
        tiling = mosaic_tiling(header, plane)
        if tiling is not None:
            return list(_tiles(header, tiling))
    return [Frame(header, plane, rescale_of(header), "RescaleSlope" in header.values)]


def _check_count(header: ImageHeader) -> None:
    given = header.values.get("NumberOfFrames", "1")
    if given != "1" and not (isinstance(given, str) and given.removeprefix("+").isdecimal() and int(given) > 0):
        message = f"{header.name} has NumberOfFrames (0028,0008) {given!r}, not a whole number of at least 1"
        raise DicomError(message, [Finding(code="not_decodable", message=message)])


def separating_values(frame: Frame) -> Mapping[str, Any]:
    """What may tell a slice from others at its place, by keyword; what is absent is left out."""
    return values_apart(frame.header.elements) if frame.values is None else frame.values


def _may_have_groups(header: ImageHeader) -> bool:
    """Whether an instance of one frame is of an enhanced class: its place is in functional groups alone."""
    return "ImagePositionPatient" not in header.values and "NumberOfFrames" in header.values


def _tiles(header: ImageHeader, tiling: Tiling) -> Iterator[Frame]:
    rescale = rescale_of(header)
    given = "RescaleSlope" in header.values
    values = values_apart(header.elements)
    for plane, corner in zip(tiling.planes, tiling.corners, strict=True):
        yield Frame(header, plane, rescale, given, 0, corner, values)


def _enhanced_frames(header: ImageHeader, whole: SlicePlane) -> list[Frame]:
    """Empty where the object has no functional groups."""
    dataset = read_dataset(header.path, stop_before_pixels=True)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if not per_frame and not shared:
        return []
    if per_frame and len(per_frame) != whole.n_frames:
        raise DicomError(
            f"{header.name} has NumberOfFrames (0028,0008) {whole.n_frames} but {len(per_frame)} items in "
            "PerFrameFunctionalGroupsSequence (5200,9230)"
        )
    common = dict(header.values) | _group_values(shared[0] if shared else pydicom.Dataset())
    common.pop("InstanceNumber", None)
    frames = []
    for number in range(whole.n_frames):
        values = common | (_group_values(per_frame[number]) if per_frame else {})
        plane = replace(plane_from_values(values), n_frames=1, instance_number=number + 1)
        rescale = rescale_from(header.name, values)
        given = "RescaleSlope" in values
        frames.append(Frame(header, plane, rescale, given, number, None, _separators(header, values, number)))
    return frames


def _separators(header: ImageHeader, values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What may tell a frame apart, under the keywords that single-frame objects use where they mean the same."""
    names = {
        "EffectiveEchoTime": "EchoTime",
        "InversionTimes": "InversionTime",
        "FrameAcquisitionNumber": "AcquisitionNumber",
        "FrameAcquisitionDateTime": "AcquisitionTime",
        "FrameType": "ImageType",
        "TemporalPositionIndex": "TemporalPositionIdentifier",
    }
    kept = {
        *("DiffusionBValue", "DiffusionGradientOrientation", "StackID", "FrameReferenceDateTime"),
        *("NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime"),
        *("NominalPercentageOfRespiratoryPhase", "NominalRespiratoryTriggerDelayTime"),
        *("VelocityEncodingDirection", "ASLContext", "FlipAngle", "KVP", "ConvolutionKernel", "ComplexImageComponent"),
    }
    found = {names.get(keyword, keyword): value for keyword, value in values.items() if keyword in kept | names.keys()}
    instance = plain(header.values.get("InstanceNumber", 0))
    first = instance if isinstance(instance, int) else 0
    return found | {"InstanceNumber": (first, number)}


def _group_values(groups: "pydicom.Dataset") -> dict[str, Any]:
    """The values of functional groups, by keyword, plain."""
    found: dict[str, Any] = {}
    for sequence, keywords in _GROUPS.items():
        for item in list(groups.get(sequence) or ())[:1]:
            found |= {keyword: _value(item, keyword) for keyword in keywords if item.get(keyword) is not None}
    diffusion = groups.get("MRDiffusionSequence")
    direction = diffusion[0].get("DiffusionGradientDirectionSequence") if diffusion else None
    if direction and direction[0].get("DiffusionGradientOrientation") is not None:
        found["DiffusionGradientOrientation"] = plain(direction[0].DiffusionGradientOrientation)
    return found


def _value(item: "pydicom.Dataset", keyword: str) -> Any:
    value = item[keyword].value
    return str(value) if keyword.endswith("DateTime") else plain(value)
