"""DICOM SEG out: a mask on the grid of a series becomes a Segmentation object that refers to its images.

Through highdicom, which writes what the standard asks for (PS3.3 A.51). The mask must be on the series' own grid:
`Store.to_patient` brings a prediction there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._version import __version__
from ..errors import ExportError
from ..geometry import Grid
from ..volume import Mask
from ._files import whole_file

if TYPE_CHECKING:
    import pydicom

OFF_GRID_VOXELS = 0.1
"""Distance of an image's position from its place on the mask's grid, in voxels, above which it is another grid."""
ORGAN = ("123037004", "SCT", "Anatomical Structure")
"""Category and type of a class whose code nobody gave."""

Code = tuple[str, str, str]
"""Value, scheme and meaning, such as ("10200004", "SCT", "Liver")."""


def write_segmentation(
    path: Path | str,
    mask: Mask,
    images: Sequence[Path],
    *,
    algorithm: str = "medimagenet",
    description: str = "Segmentation",
    codes: Mapping[str, Code] | None = None,
) -> None:
    """Write a mask as DICOM SEG, one segment per class, whole or not at all. Overlapping classes all survive.

    Parameters
    ----------
    mask : on the grid of the series; classes without a voxel become segments without frames
    images : the files of the series, in any order, one per slice; or its one file, where that has a frame per slice
    algorithm : who made the mask: SegmentAlgorithmName (0062,0009)
    description : SeriesDescription (0008,103E)
    codes : per class what it is, for SegmentedPropertyTypeCodeSequence (0062,000F); without one "Anatomical Structure"

    Raises
    ------
    ValueError
        The mask has no class, or no voxel at all: DICOM has no frameless segmentation.
    ExportError
        The images are not one per slice of the mask's grid, cannot be read, or the file cannot be written.
    """
    import highdicom
    import pydicom

    if not mask.names or not mask.array.any():
        raise ValueError(f"a segmentation needs a voxel in some class, none is set in {', '.join(mask.names) or 'any'}")
    try:
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in images]
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise ExportError(f"an image of the series cannot be read: {error}") from error
    ordered, slices = _ordered(headers, mask.grid)
    pixels = np.ascontiguousarray(np.moveaxis(mask.array, 0, -1)[slices]).view(np.uint8)
    segmentation = highdicom.seg.Segmentation(
        source_images=ordered,
        pixel_array=pixels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(mask.names, algorithm, codes or {}),
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Med-ImageNet",
        manufacturer_model_name="medimagenet",
        software_versions=__version__,
        device_serial_number="0",
        series_description=description,
        omit_empty_frames=True,
    )
    with whole_file(Path(path)) as file:
        segmentation.save_as(file)


def _ordered(headers: Sequence["pydicom.Dataset"], grid: Grid) -> tuple[list["pydicom.Dataset"], list[int]]:
    """The images, and of each of their frames the slice of the mask; single images in the order of the slices."""
    if len(headers) == 1 and int(headers[0].get("NumberOfFrames") or 1) > 1:
        frames = [
            group.get("PlanePositionSequence") for group in headers[0].get("PerFrameFunctionalGroupsSequence", ())
        ]
        places = _places([None if frame is None else frame[0] for frame in frames], headers[0], grid)
        return [headers[0]], list(places)
    places = _places(headers, headers[0] if headers else None, grid)
    return [headers[places[number]] for number in sorted(places)], sorted(places)


def _places(frames: Sequence["pydicom.Dataset | None"], size: "pydicom.Dataset | None", grid: Grid) -> dict[int, int]:
    """Which frame is on each slice of the grid, in the order of the frames.

    Raises
    ------
    ExportError
        They are not one on each slice.
    """
    places: dict[int, int] = {}
    for position, frame in enumerate(frames):
        corner = None if frame is None else frame.get("ImagePositionPatient")
        if corner is None or size is None:
            raise ExportError("an image does not say where it is (ImagePositionPatient): give the files of the series")
        header = frame if frame is not None and "Rows" in frame else size
        x, y, z = grid.to_index([float(value) for value in corner])
        rows, columns = int(header.Rows), int(header.Columns)
        number = round(z)
        is_on_grid = max(abs(x), abs(y), abs(z - number)) <= OFF_GRID_VOXELS and (columns, rows) == grid.size[:2]
        if not is_on_grid or not 0 <= number < grid.size[2] or number in places:
            raise ExportError(
                f"an image of {columns} x {rows} pixels begins at voxel ({x:.2f}, {y:.2f}, {z:.2f}) of the mask's grid "
                f"of {grid.size}, where {'there is one already' if number in places else 'no slice begins'}: give the "
                "files of the series that the mask is on"
            )
        places[number] = position
    if len(places) != grid.size[2]:
        raise ExportError(f"the mask has {grid.size[2]} slices, and there are {len(places)} images: give all of them")
    return places


def _descriptions(names: Sequence[str], algorithm: str, codes: Mapping[str, Code]) -> list[Any]:
    import highdicom

    identification = highdicom.AlgorithmIdentificationSequence(
        name=algorithm,
        version=__version__,
        family=highdicom.sr.CodedConcept("123109", "DCM", "Manual Processing")
        if algorithm == "manual"
        else highdicom.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
    )
    category = highdicom.sr.CodedConcept(*ORGAN)
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:64],
            segmented_property_category=category,
            segmented_property_type=highdicom.sr.CodedConcept(*codes.get(name, ORGAN)),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=identification,
        )
        for number, name in enumerate(names, start=1)
    ]
