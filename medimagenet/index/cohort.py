"""Cohort check: how much of what a question would bring, and under which terms, before a byte is downloaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rois import match_rois
from ..sources.idc import NAME as PUBLIC_SOURCE
from .links import ANNOTATIONS
from .query import Filters
from .rows import quoted
from .samples import parse_modalities
from .sides import GEOMETRY, IMAGES, PET, REFERENCES, Here, absent, how_to_get, sample_limits
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
class PetCoverage:
    """How many PET series of the public index can be given as SUV, by what ``pt_index`` tells of them."""

    series: int
    ready: int
    """Units are GML, or BQML with attenuation and decay correction, injected dose and time."""
    untold: int
    """Whether they can is in what the index does not have: private elements of counts, a date of the injection."""


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
    pet: PetCoverage | None
    """None without public PET, or where the index does not know."""
    unknown: tuple[str, ...]
    """What could not be answered, and where the answer is."""


_SETS = """
SELECT modalities, count(DISTINCT {{'collection': collection, 'patient': patient}}), count(*) FROM (
    SELECT list_sort(list_distinct(list(Modality))) AS modalities, any_value(coalesce(collection_id, '')) AS collection,
        any_value(PatientID) AS patient FROM series WHERE Modality IN ({names}) GROUP BY StudyInstanceUID
) GROUP BY 1 ORDER BY 3 DESC, 1
"""
_WITHOUT_SIDES = (
    "public series of this file were written without them; once they are here, write it anew: "
    '"medimagenet search ... --parquet"'
)
_UNTOLD_PET = "PET that can be given as SUV: decoding tells"
_WEIGHT = "PatientWeight, without which there is no SUV from Bq/ml, is in no index of IDC"

_READY = """
SELECT count(*), count_if(told AND ready), count_if(NOT told) FROM (
    SELECT coalesce(Units = 'GML' OR Units = 'BQML' AND list_has_all(CorrectedImage, ['ATTN', 'DECY'])
            AND DecayCorrection IN ('START', 'ADMIN') AND RadionuclideTotalDose > 0, false) AS ready,
        Units IS DISTINCT FROM 'CNTS' AND NOT (ready AND Units = 'BQML' AND DecayCorrection = 'START'
            AND RadiopharmaceuticalStartTime IS NULL) AS told
    FROM {series} AS series LEFT JOIN pt_index USING (SeriesInstanceUID)
    WHERE series.Modality = 'PT' AND series.source = {source}
)
"""


def check_cohort(
    index: "Index",
    modalities: str | Sequence[str],
    *,
    rois: Mapping[str, Sequence[str]] | None = None,
    images: Filters | None = None,
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
    images
        What images have to meet beside that, such as ``{"min_slices": 60, "age": (18, 80)}``. Annotations need not:
        see `Index.search_images`.

    Raises
    ------
    ValueError
        Modalities that no sample can have or that nobody knows, a pattern that is not a regular expression, or a filter
        that is not known.
    """
    asked = parse_modalities(modalities)
    index.search(modality=asked)  # refuses those that neither DICOM nor the index knows
    if images:
        index = index.search_images(**images)
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
    """The answers that the headers have or, of public series, the side indices; None where they are not here."""
    query = (
        f"SELECT bool_or(source = {quoted(PUBLIC_SOURCE)}), bool_and(source = {quoted(PUBLIC_SOURCE)}) FROM {complete}"
    )
    ((has_public, is_public),) = index.fetch(query)
    if is_public is None:  # no series
        nothing = RoiCoverage(annotations=0, matching=0, unused=()) if rois else None
        return {"samples": 0, "volumes": 0, "rois": nothing, "pet": None, "unknown": ()}
    here: Here = index.side_indices if has_public else None
    unknown = []
    if has_public and here is None:
        here = _told_by_rows(index, complete)
        if absent(here, [REFERENCES[name] for name in asked if name in REFERENCES]):
            unknown.append(f"what side indices tell: {_WITHOUT_SIDES}")
    limits = sample_limits(here, asked)
    unknown += [f"samples: {limit}" for limit in limits]
    known: dict[str, Any] = {"samples": None, "volumes": None, "rois": None, "pet": None}
    if not limits:
        known["samples"] = _count_samples(index, asked) if is_public else len(index.samples(asked).samples)
    images = [name for name in asked if name not in ANNOTATIONS]
    if lacking := absent(here, [GEOMETRY, *(IMAGES[name] for name in images if name in IMAGES)]):
        unknown.append(f"regular volumes: {how_to_get(lacking)}")
    else:
        known["volumes"], sentences = _count_volumes(index, complete, images)
        unknown += sentences
    if rois and (lacking := absent(here, [REFERENCES[name] for name in asked if name in REFERENCES])):
        unknown.append(f"ROI names: {how_to_get(lacking)}")
    elif rois:
        known["rois"] = _roi_coverage(index, complete, rois)
    if "PT" in asked:
        known["pet"], sentences = _pet_coverage(index, complete, here, is_public=is_public)
        unknown += sentences
    return {**known, "unknown": tuple(unknown)}


def _told_by_rows(index: "Index", complete: str) -> frozenset[str]:
    """The side indices that were here when public rows were written into a file: what they tell is in the rows."""
    query = (
        "SELECT Modality, bool_or(referenced_series IS NOT NULL), bool_or(SliceThickness IS NOT NULL), "
        f"bool_or(orientation IS NOT NULL) FROM {complete} WHERE source = {quoted(PUBLIC_SOURCE)} GROUP BY 1"
    )
    found: set[str] = set()
    for modality, refers, thickness, oriented in index.fetch(query):
        found |= {REFERENCES[modality]} if refers and modality in REFERENCES else set()
        found |= {IMAGES[modality]} if thickness and modality in IMAGES else set()
        found |= {GEOMETRY} if oriented else set()
    return frozenset(found - {PET})  # of which a table is asked, that files do not have


def _count_volumes(index: "Index", complete: str, images: Sequence[str]) -> tuple[int | None, list[str]]:
    """Image series with a geometry; None, and why, where some are of archives that tell none."""
    names = ", ".join(map(quoted, images))
    remote = f"shape IS NULL AND source <> {quoted(PUBLIC_SOURCE)} AND coalesce(len(files), 0) = 0"
    query = f"SELECT count(shape), count(*) FILTER ({remote}) FROM {complete} WHERE Modality IN ({names})"
    ((volumes, elsewhere),) = index.fetch(query)
    if not elsewhere:
        return volumes, []
    return None, [f"regular volumes: {elsewhere} series are not here, and their archive does not tell: download them"]


def _count_samples(index: "Index", asked: Sequence[str]) -> int:
    """As many as `find_samples` finds among public series, whose UIDs are unique, without reading them."""
    has = [
        f"SeriesInstanceUID IN (SELECT unnest(referenced_series) FROM series WHERE Modality = {quoted(name)})"
        for name in asked[1:]
    ]
    ((count,),) = index.fetch(
        f"SELECT count(*) FROM series WHERE {' AND '.join([f'Modality = {quoted(asked[0])}', *has])}"
    )
    return int(count)


def _pet_coverage(
    index: "Index", complete: str, here: Here, *, is_public: bool
) -> tuple[PetCoverage | None, list[str]]:
    """Of public series; and what is not known, of them and of others."""
    others = [] if is_public else [_UNTOLD_PET]
    if here is None:
        return None, [_UNTOLD_PET]
    if lacking := absent(here, [PET]):
        return None, [f"PET that can be given as SUV: {how_to_get(lacking)}", *others]
    ((series, ready, untold),) = index.fetch(_READY.format(series=complete, source=quoted(PUBLIC_SOURCE)))
    return PetCoverage(series=series, ready=ready, untold=untold), [_WEIGHT, *others]


def _roi_coverage(index: "Index", complete: str, rois: Mapping[str, Sequence[str]]) -> RoiCoverage:
    rows = index.fetch(f"SELECT roi_names FROM {complete} WHERE Modality IN ('RTSTRUCT', 'SEG')")
    matches = [match_rois(names or (), rois) for (names,) in rows]
    unused = Counter(name for match in matches for name in match.unused)
    return RoiCoverage(
        annotations=len(matches),
        matching=sum(not match.missing for match in matches),
        unused=tuple(sorted(unused.items(), key=lambda item: (-item[1], item[0]))),
    )
