"""Cohort check: how much of what a question would bring, and under which terms, before a byte is downloaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rois import match_rois
from ..sources.idc import NAME as PUBLIC_SOURCE
from .links import ANNOTATIONS
from .rows import quoted
from .samples import parse_modalities
from .stats import LicenseCount, count_index

if TYPE_CHECKING:
    from .table import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalitySet:
    """Studies that have these of the modalities asked, and no other of them."""

    modalities: tuple[str, ...]
    patients: int
    studies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiCoverage:
    """How ROI names meet the patterns of a recipe."""

    annotations: int
    """RTSTRUCT and SEG of the cohort."""
    matching: int
    """Those with a ROI for every class."""
    unused: tuple[tuple[str, int], ...]
    """Names that no pattern takes, with the number of annotations that have them, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What a question would bring. Counts are of the studies that have every modality asked."""

    modalities: tuple[str, ...]
    patients: int
    studies: int
    series: int
    instances: int
    size_bytes: int
    samples: int | None
    """Found by what the objects refer to; None where the index does not know that, as for public series."""
    modality_sets: tuple[ModalitySet, ...]
    """Of all studies that were found, most studies first."""
    licenses: tuple[LicenseCount, ...]
    """The most restrictive first: it binds what is made of all."""
    commercial: bool
    """Whether all licences are known to allow commercial use; False where there is nothing."""
    volumes: int | None
    """Image series whose slices form a regular volume; None where the index does not know."""
    rois: RoiCoverage | None
    """None without patterns, or where ROI names are not known."""
    unknown: tuple[str, ...]
    """What could not be answered, and where the answer is."""


_SETS = """
SELECT modalities, count(DISTINCT {{'collection': collection, 'patient': patient}}), count(*) FROM (
    SELECT list_sort(list_distinct(list(Modality))) AS modalities, any_value(coalesce(collection_id, '')) AS collection,
        any_value(PatientID) AS patient FROM series WHERE Modality IN ({names}) GROUP BY StudyInstanceUID
) GROUP BY 1 ORDER BY 3 DESC, 1
"""
_ELSEWHERE = {
    "samples": "samples by references are not known of public series: side indices rtstruct_index, seg_index",
    "rois": "ROI names are not known of public series: side indices rtstruct_index, seg_index",
    "volumes": "regular volumes are not known of public series: side index volume_geometry_index",
}
_SUV = "PET that can be given as SUV: side index pt_index of public series; of others, decoding tells"


def check_cohort(
    index: "Index", modalities: str | Sequence[str], *, rois: Mapping[str, Sequence[str]] | None = None
) -> Cohort:
    """Say what the series of an index would bring for samples of these modalities.

    Parameters
    ----------
    index
        What was found by `Index.search`, or a whole index.
    modalities
        What a sample must have, as for `find_samples`.
    rois
        Patterns by class, as a recipe has them.

    Raises
    ------
    ValueError
        Modalities that no sample can have, or a pattern that is not a regular expression.
    """
    asked = parse_modalities(modalities)
    names = ", ".join(map(quoted, asked))
    every = " AND ".join(f"bool_or(Modality = {quoted(name)})" for name in asked)
    studies = f"SELECT StudyInstanceUID FROM series GROUP BY 1 HAVING {every}"
    complete = f"(SELECT * FROM series WHERE Modality IN ({names}) AND StudyInstanceUID IN ({studies}))"
    stats = count_index(index, complete)
    return Cohort(
        modalities=asked,
        patients=stats.patients,
        studies=stats.studies,
        series=stats.series,
        instances=stats.instances,
        size_bytes=stats.size_bytes,
        modality_sets=tuple(
            ModalitySet(modalities=tuple(found), patients=patients, studies=count)
            for found, patients, count in index.fetch(_SETS.format(names=names))
        ),
        licenses=stats.licenses,
        commercial=stats.series > 0 and all(item.commercial for item in stats.licenses),
        **_known(index, complete, asked, rois),
    )


def _known(
    index: "Index", complete: str, asked: Sequence[str], rois: Mapping[str, Sequence[str]] | None
) -> dict[str, Any]:
    """The answers that only an index of headers has; of public series each is None."""
    suv = (_SUV,) if "PT" in asked else ()
    ((has_public,),) = index.fetch(f"SELECT coalesce(bool_or(source = {quoted(PUBLIC_SOURCE)}), false) FROM {complete}")
    if has_public:
        elsewhere = [sentence for name, sentence in _ELSEWHERE.items() if name != "rois" or rois]
        return {"samples": None, "volumes": None, "rois": None, "unknown": (*elsewhere, *suv)}
    images = ", ".join(quoted(name) for name in asked if name not in ANNOTATIONS)
    ((volumes,),) = index.fetch(f"SELECT count(shape) FROM {complete} WHERE Modality IN ({images})")
    return {
        "samples": len(index.samples(asked).samples),
        "volumes": volumes,
        "rois": _roi_coverage(index, complete, rois) if rois else None,
        "unknown": suv,
    }


def _roi_coverage(index: "Index", complete: str, rois: Mapping[str, Sequence[str]]) -> RoiCoverage:
    rows = index.fetch(f"SELECT roi_names FROM {complete} WHERE Modality IN ('RTSTRUCT', 'SEG')")
    matches = [match_rois(names or (), rois) for (names,) in rows]
    unused = Counter(name for match in matches for name in match.unused)
    return RoiCoverage(
        annotations=len(matches),
        matching=sum(not match.missing for match in matches),
        unused=tuple(sorted(unused.items(), key=lambda item: (-item[1], item[0]))),
    )
