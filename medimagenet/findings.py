"""Findings: what is unusual about a file, a series or a sample, how severe, with numbers.

A finding is never only logged: it goes to the index, the store and the report, and what happens because of it
is the recipe's choice. Codes are stable names; `SEVERITY` is the one table that says how severe each is.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters for the voxels that come out."""

    INFO = "info"
    """Worth knowing; the voxels are right."""
    WARNING = "warning"
    """The voxels are right as far as the file tells, but a person should look."""
    ERROR = "error"
    """No right volume or mask can be made; by default the sample is skipped and reported."""


SEVERITY: dict[str, Severity] = {
    # files
    "not_dicom": Severity.INFO,
    "unreadable_file": Severity.ERROR,
    "truncated_file": Severity.ERROR,
    "duplicate_file": Severity.INFO,
    "dicomdir": Severity.INFO,
    "no_series_uid": Severity.WARNING,
    "no_pixel_data": Severity.ERROR,
    "no_image_geometry": Severity.INFO,
    # identity and references
    "repeated_uid": Severity.WARNING,
    "mixed_modality": Severity.WARNING,
    "mixed_study": Severity.WARNING,
    "mixed_frame_of_reference": Severity.ERROR,
    "dangling_reference": Severity.WARNING,
    "no_reference": Severity.WARNING,
    "header_not_given": Severity.WARNING,
    "referenced_by_frame": Severity.WARNING,
    "reference_mismatch": Severity.WARNING,
    "several_series_referenced": Severity.INFO,
    "joined_by_registration": Severity.INFO,
    "frame_of_reference_differs": Severity.WARNING,
    "wrong_image": Severity.ERROR,
    "other_annotation": Severity.INFO,
    "other_image": Severity.INFO,
    # what a source says of its data
    "license_conflict": Severity.WARNING,
    "layout_disagrees": Severity.WARNING,
    "localizer": Severity.ERROR,
    "packed_files": Severity.ERROR,
    # geometry of a stack (tolerances: IDC's volume_geometry_index)
    "missing_slices": Severity.ERROR,
    "duplicate_slices": Severity.ERROR,
    "nonuniform_spacing": Severity.WARNING,
    "uneven_slices": Severity.ERROR,
    "gantry_tilt": Severity.ERROR,
    "mixed_orientation": Severity.ERROR,
    "mixed_spacing": Severity.ERROR,
    "mixed_size": Severity.ERROR,
    "mixed_image_type": Severity.WARNING,
    "localizer_mixed_in": Severity.ERROR,
    "no_position": Severity.ERROR,
    "single_slice": Severity.INFO,
    "tilt_resampled": Severity.WARNING,
    "slices_interpolated": Severity.WARNING,
    "several_volumes": Severity.ERROR,
    "several_channels": Severity.INFO,
    "multi_frame": Severity.ERROR,
    "mosaic": Severity.ERROR,
    "skewed_axes": Severity.ERROR,
    "shifted_slices": Severity.ERROR,
    # pixels
    "lossy_compressed": Severity.WARNING,
    "not_monochrome": Severity.ERROR,
    "monochrome1": Severity.INFO,
    "mixed_rescale": Severity.INFO,
    "no_rescale": Severity.WARNING,
    "rescale_not_hu": Severity.WARNING,
    "suv_not_computable": Severity.ERROR,
    "dose_not_absolute": Severity.WARNING,
    "dose_not_whole_plan": Severity.WARNING,
    "dose_implausible": Severity.WARNING,
    "dose_frames_unmatched": Severity.WARNING,
    "dose_offsets_unusual": Severity.WARNING,
    "dose_outside_grid": Severity.INFO,
    "not_decodable": Severity.ERROR,
    "pixel_data_repeated": Severity.ERROR,
    "pixel_data_too_long": Severity.WARNING,
    # masks
    "contour_fills_nothing": Severity.INFO,
    "contour_outside_image": Severity.WARNING,
    "contour_between_slices": Severity.WARNING,
    "contour_not_planar": Severity.WARNING,
    "contour_not_closed": Severity.INFO,
    "contour_in_other_planes": Severity.INFO,
    "contour_interpolated": Severity.INFO,
    "contour_without_region": Severity.WARNING,
    "contour_plane_missing": Severity.INFO,
    "contour_repeated": Severity.WARNING,
    "contours_cross": Severity.WARNING,
    "contours_sparse": Severity.WARNING,
    "segment_outside_image": Severity.WARNING,
    "segment_thresholded": Severity.INFO,
    "segment_frame_unknown": Severity.WARNING,
    "segment_frames_unmatched": Severity.ERROR,
    "segment_frames_repeated": Severity.WARNING,
    "segment_resampled": Severity.INFO,
    "segment_values_binary": Severity.INFO,
    "segment_values_unexpected": Severity.ERROR,
    "segment_below_half": Severity.WARNING,
    "segment_planes_sparse": Severity.WARNING,
    "no_regions": Severity.WARNING,
    "roi_without_contours": Severity.INFO,
    "roi_number_repeated": Severity.WARNING,
    "roi_in_other_frame": Severity.WARNING,
    "roi_name_missing": Severity.WARNING,
    "roi_name_repeated": Severity.WARNING,
    "roi_matches_nothing": Severity.WARNING,
    "roi_matches_several": Severity.INFO,
    "roi_in_several_classes": Severity.INFO,
    "target_missing": Severity.WARNING,
    "overlapping_classes": Severity.WARNING,
    "empty_mask": Severity.WARNING,
    # preprocessing
    "not_finite": Severity.ERROR,
    "values_clipped": Severity.WARNING,
    "constant_image": Severity.WARNING,
    "empty_crop": Severity.WARNING,
    "step_not_applied": Severity.WARNING,
    "grid_too_large": Severity.ERROR,
    # NIfTI
    "nifti_forms_differ": Severity.WARNING,
    "nifti_units": Severity.INFO,
    "grid_mismatch": Severity.ERROR,
    "label_not_whole": Severity.ERROR,
    "label_too_large": Severity.ERROR,
}


FIXABLE = frozenset({"gantry_tilt", "missing_slices"})
"""Codes of what decoding can repair where a recipe says "fix"."""

SKIPPED = frozenset({"several_channels"})
"""Codes that leave a sample out unless its recipe says otherwise, though the voxels are right: a store whose samples
have unlike numbers of channels cannot be trained on by accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One unusual thing, in a sentence a person can act on and in numbers a query can use."""

    code: str
    """A key of `SEVERITY`."""
    message: str
    """What, with which value, where. Without a patient's name or ID."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The figures of the message, JSON values only."""

    def __post_init__(self) -> None:
        if self.code not in SEVERITY:
            raise ValueError(f"unknown finding code {self.code!r}; known codes are the keys of findings.SEVERITY")

    @property
    def severity(self) -> Severity:
        """How severe findings of this code are."""
        return SEVERITY[self.code]

    def to_row(self) -> dict[str, str]:
        """The form findings have in tables: code, severity, message, numbers as JSON with sorted keys."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
            "numbers": json.dumps(dict(self.numbers), sort_keys=True),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Finding":
        """The finding that `to_row` was called on."""
        return cls(code=row["code"], message=row["message"], numbers=json.loads(row["numbers"]))


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among findings, None where there are none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=None)
