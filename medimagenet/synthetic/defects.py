"""Defects that can be planted in a synthetic patient: one thing wrong each, by name.

A defect has the name of the finding that a reader should report, except `shuffled_names`, which should change nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..findings import SEVERITY
from . import annotation_defects, file_defects, image_defects
from .truth import PatientTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One named defect."""

    name: str
    plant: Callable[[PatientTruth], None]
    """Changes the files of a patient in place."""
    needs: str | None
    """Modality that must have been written; None: any image."""
    finding: str | None
    """Code of the finding that a reader should report, a key of `findings.SEVERITY`; None where all stays well."""

    @property
    def description(self) -> str:
        """What it does, in a sentence or two."""
        return inspect.cleandoc(self.plant.__doc__ or "")


def _defect(plant: Callable[[PatientTruth], None], needs: str | None) -> Defect:
    name = plant.__name__
    return Defect(name=name, plant=plant, needs=needs, finding=name if name in SEVERITY else None)


_IMAGE = (
    image_defects.missing_slices,
    image_defects.duplicate_slices,
    image_defects.nonuniform_spacing,
    image_defects.uneven_slices,
    image_defects.gantry_tilt,
    image_defects.mixed_orientation,
    image_defects.localizer_mixed_in,
    image_defects.mixed_spacing,
    image_defects.mixed_size,
    image_defects.no_position,
    image_defects.single_slice,
    image_defects.mixed_modality,
    image_defects.mixed_rescale,
    image_defects.lossy_compressed,
    image_defects.not_monochrome,
    image_defects.constant_image,
    image_defects.suv_not_computable,
)
_ANNOTATION = (
    annotation_defects.contour_outside_image,
    annotation_defects.contour_fills_nothing,
    annotation_defects.contour_between_slices,
    annotation_defects.contour_not_planar,
    annotation_defects.contour_not_closed,
    annotation_defects.roi_without_contours,
    annotation_defects.roi_name_missing,
    annotation_defects.roi_name_repeated,
    annotation_defects.dangling_reference,
    annotation_defects.referenced_by_frame,
    annotation_defects.no_reference,
)
_FILE = (
    file_defects.truncated_file,
    file_defects.unreadable_file,
    file_defects.not_dicom,
    file_defects.duplicate_file,
    file_defects.repeated_uid,
    file_defects.shuffled_names,
)

DEFECTS: Mapping[str, Defect] = MappingProxyType(
    {
        defect.name: defect
        for defect in (
            *(_defect(plant, image_defects.NEEDED.get(plant.__name__)) for plant in _IMAGE),
            *(_defect(plant, "RTSTRUCT") for plant in _ANNOTATION),
            *(_defect(plant, None) for plant in _FILE),
        )
    }
)
"""By name. A dict to look things up in: `DEFECTS[name].description` says what it does."""
