"""What a search can ask for, and the SQL conditions that say so.

A value that the index does not know is answered with the closest that it knows, never with an empty result.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from ..sources.base import SINGLE_OBJECTS
from ..sources.idc_layout import TEXT_COLUMNS
from .collections import collections_of_cancer
from .licenses import license_matches
from .links import ANNOTATIONS
from .rows import PUBLIC, Rows, quoted
from .sides import IMAGES, REFERENCES, absent, how_to_get

Range = tuple[float | None, float | None]
"""Lowest and highest value, both included; None leaves a side open."""

Words = str | Sequence[str]
"""One value, or several of which a row has one. ``"CT,RTSTRUCT"`` is both, where that is no value as it stands: studies
or samples that have both are what `Index.samples` finds."""


class Filters(TypedDict, total=False):
    """What `Index.search` understands. A row must meet all of them; letter case never matters."""

    modality: Words
    """As DICOM writes it: CT, MR, PT, RTSTRUCT, SEG, ..."""
    collection: Words
    """Collection identifier; blanks, hyphens and underscores are the same."""
    body_part: Words
    """BodyPartExamined."""
    cancer: Words
    """Part of the cancer types of a public collection: "lung" is Lung Cancer and Lung Adenocarcinoma."""
    sex: Words
    """M, F or O; also male, female, other."""
    age: Range
    """Years at the study. Rows without a valid PatientAge are left out."""
    manufacturer: Words
    """Part of Manufacturer: "siemens" is also Siemens HealthCare GmbH."""
    slice_thickness: Range
    """mm. Of public series in the side indices ct_index, mr_index, pt_index."""
    min_slices: int
    """Least number of slices or, of objects without slices, of instances."""
    annotated_by: Words
    """Images to which an annotation of this modality (RTSTRUCT, SEG, RTDOSE, RTPLAN) refers. Where an annotation does
    not say to which, as in the public index without the side indices rtstruct_index and seg_index: images of its
    study."""
    roi: str
    """Regular expression that a ROI name must match as a whole: of the row or, with `annotated_by`, of the annotation.
    Of public series in the side indices rtstruct_index and seg_index; a SEG names the types of its segments there."""
    license: Words
    """Name of the licence, with or without its version, or "commercial": all that allow commercial use."""
    text: str
    """Words that all occur in the descriptions of series or study, the body part, the model or the collection."""


_MODALITIES = SINGLE_OBJECTS | {
    *("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "SM", "OT", "XC", "ANN", "OPT", "IVUS", "FUSION"),
}
_SEXES = {"MALE": "M", "FEMALE": "F", "OTHER": "O", "M": "M", "F": "F", "O": "O"}
_AGE = (  # DICOM PS3.5 6.2, value representation AS: three digits and D, W, M or Y
    "(CASE WHEN regexp_full_match(PatientAge, '[0-9]+[DWMYdwmy]') THEN CAST(left(PatientAge, -1) AS DOUBLE) / "
    "CASE upper(right(PatientAge, 1)) WHEN 'Y' THEN 1 WHEN 'M' THEN 12 WHEN 'W' THEN 52.1775 ELSE 365.2425 END END)"
)
_IMAGE_SLICES = "coalesce(shape[1], n_instances)"


def conditions_for(rows: Rows, filters: Mapping[str, Any]) -> tuple[str, ...]:
    """SQL conditions on a row, all of which must hold.

    Parameters
    ----------
    rows
        What is searched: its values tell what can be asked.
    filters
        By the names of `Filters`; None is as if it were not there.

    Raises
    ------
    ValueError
        A filter or a value that is not known, with the closest that are, or one that this index cannot answer.
    """
    for name in filters:
        if name not in Filters.__annotations__:
            raise ValueError(f"unknown filter {name!r}{_closest(name, Filters.__annotations__)}")
    given = {name: value for name, value in filters.items() if value is not None}
    _refuse_untold(rows, given)
    found = [_BUILDERS[name](rows, value) for name, value in given.items() if name in _BUILDERS]
    return (*found, *_annotations(rows, given))


def _refuse_untold(rows: Rows, given: Mapping[str, Any]) -> None:
    """Raise where the answer for public series is in a side index that is not here."""
    needed: dict[str, list[str]] = {}
    if "slice_thickness" in given:
        needed["slice_thickness"] = _of_modalities(IMAGES, given.get("modality"))
    if "roi" in given:
        needed["roi"] = _of_modalities(REFERENCES, given.get("annotated_by", given.get("modality")))
    for name, sides in needed.items():
        lacking = absent(rows.side_indices, sides)
        if lacking:
            raise ValueError(
                f"{name} of public series is in the {how_to_get(lacking)}; or leave it out, "
                "or search your own index alone"
            )


def _of_modalities(sides: Mapping[str, str], modalities: Words | None) -> list[str]:
    """The side indices of the modalities that are asked for, or all where that leaves it open."""
    asked = [] if modalities is None else [word.strip().upper() for word in _each(modalities)]
    return [sides[name] for name in asked if name in sides] or list(sides.values())


def unknown_value(what: str, value: str, known: Iterable[str]) -> ValueError:
    """The error for a value that is not there, with the closest that are."""
    return ValueError(f"unknown {what} {value!r}{_closest(value, known)}")


def _closest(value: str, known: Iterable[str]) -> str:
    names = {_plain(name): name for name in known}
    if not names:
        return ": the index names none"
    near = [name for name in names if _plain(value) and _plain(value) in name][:3]
    near += difflib.get_close_matches(_plain(value), names, n=5, cutoff=0.6)
    if not near:  # a word of it may be what is meant
        words = {word: name for name in names for word in name.split("_")}
        near = [words[word] for word in difflib.get_close_matches(_plain(value), words, n=5, cutoff=0.6)]
    near = list(dict.fromkeys(near))
    if near:
        return f": did you mean {' or '.join(repr(names[name]) for name in near[:5])}?"
    shown = sorted(names.values())
    return f": known are {', '.join(shown[:12])}{f' and {len(shown) - 12} others' if len(shown) > 12 else ''}"


@functools.lru_cache(maxsize=4096)  # all known values are compared with what is asked
def _plain(text: str) -> str:
    return re.sub(r"[-_\s]+", "_", text.strip().casefold())


def _words(value: Words) -> list[str]:
    words = [value] if isinstance(value, str) else list(value)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"a filter must be text or a list of texts, got {value!r}")
    return words


def _each(value: Words, is_known: Callable[[str], object] = lambda word: False) -> Iterator[str]:
    """What is asked for, one by one: a text with commas that is not known as it stands is several."""
    for word in _words(value):
        parts = [part.strip() for part in word.split(",") if part.strip()]
        yield from parts if len(parts) > 1 and not is_known(word) else [word]


def _is_one_of(column: str, values: Iterable[str]) -> str:
    names = ", ".join(quoted(value) for value in values)
    return f"{column} IN ({names})" if names else "false"


def _known(
    column: str, what: str, is_same: Callable[[str, str], bool], always: Mapping[str, str] | None = None
) -> Callable[[Rows, Words], str]:
    """Condition for a column whose values are listed: those that are what is asked, by `is_same(asked, known)`."""

    def build(rows: Rows, value: Words) -> str:
        known = rows.values(column)
        taken: list[str] = []

        def find(word: str) -> list[str]:
            standard = (always or {}).get(word.strip().upper())  # DICOM knows it, though perhaps not this index
            return [name for name in known if is_same(word, name)] + ([standard] if standard else [])

        for word in _each(value, find):
            found = find(word)
            if not found:
                raise unknown_value(what, word, known)
            taken += found
        return _is_one_of(column, dict.fromkeys(taken))

    return build


def _is_equal(asked: str, known: str) -> bool:
    return _plain(asked) == _plain(known)


def _is_part(asked: str, known: str) -> bool:
    return _plain(asked) in _plain(known)


def _cancer(rows: Rows, value: Words) -> str:
    taken: list[str] = []
    for word in _each(value, lambda word: collections_of_cancer(word)[0]):
        found, known = collections_of_cancer(word)
        if not found:
            raise unknown_value("cancer type", word, known)
        taken += found
    return _is_one_of("collection_id", dict.fromkeys(taken))


def _between(expression: str, what: str, value: Range) -> str:
    try:
        low, high = (None if bound is None else float(bound) for bound in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be two numbers, the lowest and the highest, got {value!r}") from error
    if (low is not None and not low >= 0) or (high is not None and not high >= (low or 0)):
        raise ValueError(f"{what} must be from a lower to a higher number, neither below 0, got {value!r}")
    bounds = [f"{expression} >= {low!r}" for _ in (0,) if low is not None]
    bounds += [f"{expression} <= {high!r}" for _ in (0,) if high is not None and high != float("inf")]
    return f"({' AND '.join(bounds or [f'{expression} IS NOT NULL'])})"


def _age(rows: Rows, value: Range) -> str:
    return _between(_AGE, "age", value)


def _slice_thickness(rows: Rows, value: Range) -> str:
    return _between("SliceThickness", "slice_thickness", value)


def _min_slices(rows: Rows, value: int) -> str:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"min_slices must be a whole number from 0 on, got {value!r}")
    return f"{_IMAGE_SLICES} >= {value}"


def _text(rows: Rows, value: str) -> str:
    if not isinstance(value, str) or not value.split():
        raise ValueError(f"text must be words to look for, got {value!r}")
    words = value.split()
    parts = []
    if rows.public is not None:
        contains = " AND ".join(f"contains(text, {quoted(word.lower())})" for word in words)
        parts.append(f"text_key IN (SELECT text_key FROM {PUBLIC}.texts WHERE {contains})")
    if rows.tables:
        own = " AND ".join(f"({_contains(word)})" for word in words)
        parts.append(own if rows.public is None else f"(text_key IS NULL AND {own})")
    return f"({' OR '.join(parts)})"


def _contains(word: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", word)
    pattern = quoted(f"%{escaped}%") + (" ESCAPE '\\'" if escaped != word else "")  # without it DuckDB is faster
    return " OR ".join(f"{column} ILIKE {pattern}" for column in TEXT_COLUMNS)


def _annotations(rows: Rows, given: Mapping[str, Any]) -> list[str]:
    """Conditions of `annotated_by` and `roi`, which mean the annotation when both are there."""
    roi = _has_roi(rows, given["roi"]) if "roi" in given else None
    if "annotated_by" not in given:
        return [roi] if roi else []
    modalities = [word.strip().upper() for word in _each(given["annotated_by"])]
    for modality in modalities:
        if modality not in ANNOTATIONS:
            raise unknown_value("modality of annotations", modality, ANNOTATIONS)
    found = [_is_annotated(modality, roi) for modality in modalities]
    return [f"({' OR '.join(found)})", f"Modality NOT IN ({', '.join(map(quoted, ANNOTATIONS))})"]


def _is_annotated(modality: str, roi: str | None) -> str:
    """Whether an annotation refers to the series or, where it says nothing of that, is in its study."""
    objects = f"FROM whole WHERE Modality = {quoted(modality)}{f' AND {roi}' if roi else ''}"
    says_nothing = "coalesce(len(referenced_series), 0) + coalesce(len(referenced_instances), 0) = 0"
    return (
        f"(SeriesInstanceUID IN (SELECT unnest(referenced_series) {objects})"
        f" OR StudyInstanceUID IN (SELECT StudyInstanceUID {objects} AND {says_nothing}))"
    )


def _has_roi(rows: Rows, pattern: str) -> str:
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except (re.error, TypeError) as error:
        raise ValueError(f"roi {pattern!r} is not a regular expression: {error}") from error
    names = rows.values("roi_names")
    taken = [name for name in names if expression.fullmatch(name.strip())]
    if not taken:
        raise unknown_value("roi", pattern, names)
    return f"list_has_any(roi_names, [{', '.join(map(quoted, sorted(taken)))}])"


_BUILDERS: dict[str, Callable[[Rows, Any], str]] = {
    "modality": _known("Modality", "modality", _is_equal, {name: name for name in _MODALITIES}),
    "collection": _known("collection_id", "collection", _is_equal),
    "body_part": _known("BodyPartExamined", "body part", _is_equal),
    "cancer": _cancer,
    "sex": _known("PatientSex", "sex", _is_equal, _SEXES),
    "age": _age,
    "manufacturer": _known("Manufacturer", "manufacturer", _is_part),
    "slice_thickness": _slice_thickness,
    "min_slices": _min_slices,
    "license": _known("license", "license", license_matches, {"COMMERCIAL": "commercial"}),
    "text": _text,
}
