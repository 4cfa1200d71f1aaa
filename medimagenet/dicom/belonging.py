"""Whether an object that holds regions belongs to the image it is put on: by its references, and by frame of reference.

A frame of reference is a coordinate system; contours of one mean nothing in another. SeriesInstanceUIDs say more, but
copies and anonymised images have others, so that the frame alone is enough, with a finding.
"""

from ..findings import Finding
from ..volume import Volume
from .regions import Regions


def belonging_findings(regions: Regions, image: Volume) -> list[Finding]:
    """What speaks against putting these regions on this image; nothing where either does not say."""
    series, frame = image.metadata.get("SeriesInstanceUID"), image.metadata.get("FrameOfReferenceUID")
    findings = []
    if len(regions.referenced_series) > 1:
        message = f"it was made from {len(regions.referenced_series)} series"
        numbers = {"series": len(regions.referenced_series)}
        findings.append(Finding(code="several_series_referenced", message=message, numbers=numbers))
    is_referenced = bool(series) and series in regions.referenced_series
    has_frame = bool(frame) and frame in regions.frames_of_reference
    may_differ = bool(frame) and bool(regions.frames_of_reference) and not has_frame
    if is_referenced and may_differ:
        message = "it refers to this series, but to another frame of reference (FrameOfReferenceUID (0020,0052))"
        findings.append(Finding(code="frame_of_reference_differs", message=message))
    elif may_differ:
        message = "it refers neither to this series nor to its frame of reference (FrameOfReferenceUID (0020,0052))"
        findings.append(Finding(code="wrong_image", message=message))
    elif has_frame and not is_referenced and series and regions.referenced_series:
        message = "it refers to other series than this one, which has the same frame of reference"
        findings.append(Finding(code="referenced_by_frame", message=message))
    return findings


def regions_of_other_frames(regions: Regions, image: Volume) -> tuple[set[str], list[Finding]]:
    """Names of regions that are in another frame of reference than the image, of an object that has the image's too."""
    frame = image.metadata.get("FrameOfReferenceUID")
    if not frame or frame not in regions.region_frames:  # none is in it: the object as a whole is told to be of another
        return set(), []
    names = [
        name for name, own in zip(regions.names, regions.region_frames, strict=True) if own is not None and own != frame
    ]
    findings = [
        Finding(
            code="roi_in_other_frame",
            message=f"region {name!r} is in another frame of reference than the image and is left empty",
            numbers={"roi": name},
        )
        for name in names
    ]
    return set(names), findings
