"""What the names of folders in a case of the New Mexico Decedent Image Database say, and whether headers agree.

``case-100010/omi/incomingdir/case-100010/STANDARD_TORSO/THIN_BONE_TORSO/*.dcm`` (sources.md, section 3): the case, the
region of the study, then region, kernel and thickness of the reconstruction.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..findings import Finding

CASE = re.compile(r"case-(\d{6})(?!\d)", re.I)

_THIN = (1.0, 0.5)  # mm: slice and step of what is called THIN
_STEPS = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)_?X_?(\d+(?:\.\d+)?)(?!\d)", re.I)
_LOCALIZER = re.compile(r"(?:^|[_ -])(?:NONE|LOCALI[SZ]ER|SCOUT|TOPOGRAM|SURVIEW)(?:[_ -]|$)", re.I)
_REGIONS = (
    ("HEAD", re.compile(r"HEAD|NECK|U-EXT|UPPER", re.I)),
    ("TORSO", re.compile(r"TORSO|CHEST|ABD|PELV", re.I)),
    ("LOWER EXTREMITY", re.compile(r"L-EXT|LWR|LOWER|LEG", re.I)),
)
_KERNELS = (
    ("bone", re.compile(r"BONE", re.I)),
    ("lung", re.compile(r"LUNG", re.I)),
    ("soft", re.compile(r"SOFT|STANDARD|SMOOTH", re.I)),
)
_SHARP = {"bone": True, "lung": True, "soft": False}
_NUMBERED = re.compile(r"[BHUIJ][rfvs]?(\d{2})[a-z]*(?:\\\d)?", re.I)  # Siemens: from 10, smooth, to 90, sharp
_SHARP_FROM = 50
_BODY_PARTS = {
    "HEAD": {"HEAD", "NECK", "BRAIN", "SKULL", "HEADNECK", "CSPINE", "ARM", "SHOULDER", "HAND", "UEXT"},
    "TORSO": {
        "CHEST",
        "THORAX",
        "ABDOMEN",
        "PELVIS",
        "TORSO",
        "ABDPELV",
        "CHESTABDPELVIS",
        "SPINE",
        "TSPINE",
        "LSPINE",
    },
    "LOWER EXTREMITY": {"LEG", "KNEE", "FOOT", "ANKLE", "FEMUR", "HIP", "LEXT", "THIGH", "TIBIA"},
}
_ANYWHERE = {"EXTREMITY", "WHOLEBODY", "BODY"}
_TOLERANCE_MM = 0.05  # headers give 0.5 as 0.50 or 0.4999


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSeries:
    """What the path of a series says; None where it says nothing."""

    case: str | None = None
    """Six digits."""
    study: str | None = None
    """Name of the folder of the study."""
    series: str | None = None
    """Name of the folder of the series."""
    region: str | None = None
    """HEAD (with neck and arms), TORSO or LOWER EXTREMITY."""
    kernel: str | None = None
    """bone, lung or soft."""
    thickness_mm: float | None = None
    step_mm: float | None = None
    localizer: bool = False
    """Whether it is no reconstruction: a localizer, or what has the name NONE."""


def read_names(place: PurePath) -> NamedSeries:
    """Read the folders of a series, from the case down.

    Examples
    --------
    >>> found = read_names(PurePath("case-100010/omi/incomingdir/case-100010/STANDARD_TORSO/BONE_TORSO_3_X_3"))
    >>> found.case, found.region, found.kernel, found.thickness_mm, found.step_mm
    ('100010', 'TORSO', 'bone', 3.0, 3.0)
    """
    parts = list(place.parts)
    cases = [number for number, part in enumerate(parts) if CASE.match(part)]
    below = parts[cases[-1] + 1 :] if cases else parts
    series = below[-1] if below else None
    study = below[-2] if len(below) > 1 else None
    thickness, step = _thickness(series or "")
    return NamedSeries(
        case=_case(parts[cases[0]]) if cases else None,
        study=study,
        series=series,
        region=_first(_REGIONS, series) or _first(_REGIONS, study),
        kernel=_first(_KERNELS, series),
        thickness_mm=thickness,
        step_mm=step,
        localizer=bool(series and _LOCALIZER.search(series)),
    )


def disagreements(names: NamedSeries, header: dict[str, Any]) -> Iterator[Finding]:
    """Where headers and names of folders tell different things. What either does not tell cannot disagree.

    Parameters
    ----------
    header
        `PatientID`, `BodyPartExamined`, `ConvolutionKernel`, `SliceThickness` and `step_mm` (between slices, of their
        positions), None where absent.
    """
    digits = re.search(r"\d{6}", header.get("PatientID") or "")
    if names.case and digits and digits[0] != names.case:
        yield _disagree("the case", "another case")
    for what, told, found in (
        ("the thickness, mm", names.thickness_mm, header.get("SliceThickness")),
        ("the step between slices, mm", names.step_mm, header.get("step_mm")),
    ):
        if told is not None and found is not None and abs(told - found) > _TOLERANCE_MM:
            yield _disagree(f"{what}, as {told:g}", f"{found:g}", folder=told, headers=found)
    kernel = header.get("ConvolutionKernel")
    sharp = _is_sharp(kernel)
    if names.kernel and sharp is not None and sharp != _SHARP[names.kernel]:
        yield _disagree(f"the kernel, as {names.kernel}", str(kernel))
    part = re.sub(r"[^A-Z]", "", (header.get("BodyPartExamined") or "").upper())
    known = _ANYWHERE.union(*_BODY_PARTS.values())
    if names.region and part in known and part not in _BODY_PARTS[names.region] | _ANYWHERE:
        yield _disagree(f"the region, as {names.region}", part)


def _disagree(what: str, found: str, **numbers: float) -> Finding:
    return Finding(
        code="layout_disagrees", message=f"the folder tells {what}, and the headers {found}", numbers=numbers
    )


def _case(part: str) -> str | None:
    found = CASE.match(part)
    return found[1] if found else None


def _thickness(series: str) -> tuple[float | None, float | None]:
    found = _STEPS.search(series)
    if found:
        return float(found[1]), float(found[2])
    return _THIN if re.match(r"THIN(?:[_ -]|$)", series, re.I) else (None, None)


def _first(table: tuple[tuple[str, re.Pattern[str]], ...], name: str | None) -> str | None:
    return next((value for value, pattern in table if name and pattern.search(name)), None)


def _is_sharp(kernel: str | None) -> bool | None:
    """Whether a kernel enhances edges, as those for bone and lung do; None of names that do not tell."""
    numbered = _NUMBERED.fullmatch((kernel or "").strip())
    if numbered:
        return int(numbered[1]) >= _SHARP_FROM
    named = _first(_KERNELS, kernel)
    return None if named is None else _SHARP[named]
