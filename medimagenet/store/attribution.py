"""ATTRIBUTION.md: whose images are in a store, under which licence, and what to cite; the most restrictive first."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .agreements import agreement_of

UNKNOWN = "unknown licence"
"""How a series without one is listed: nothing may be assumed about it."""

_TERMS = (
    (re.compile(r"restricted|limited|controlled|request|agreement", re.I), 60),
    (re.compile(r"\bnc\b|non ?commercial", re.I), 30),
    (re.compile(r"\bnd\b|no ?deriv", re.I), 20),
    (re.compile(r"\bsa\b|share ?alike", re.I), 10),
    (re.compile(r"\bby\b|attribution|\bmit\b|bsd|apache", re.I), 5),
    (re.compile(r"cc0|public domain|\bpd\b|\bunlicense\b", re.I), -50),
)
"""What words in the name of a licence add to its restrictiveness."""

_HEAD = """# Attribution

What this store holds was made from the images below. Each keeps the licence of its source: the most restrictive one
applies to the store as a whole, and to what is trained or published from it as far as it says so.
"""


def restrictiveness(license_name: str | None) -> int:
    """How restrictive a licence is, for sorting: unknown ones above all others, then NC, ND, SA, BY, CC0."""
    if not license_name or license_name == UNKNOWN:
        return 100
    words = license_name.replace("_", " ").replace("-", " ")
    points = sum(weight for pattern, weight in _TERMS if pattern.search(words))
    known = any(pattern.search(words) for pattern, _ in _TERMS)
    return points if known else 90  # a licence in words that nobody has classified


def most_restrictive(licenses: Iterable[str | None]) -> str | None:
    """The licence that binds what was made from all of them; None where one of them is unknown, or there is none."""
    ordered = sorted(licenses, key=lambda name: (-restrictiveness(name), name or ""))
    return (ordered[0] or None) if ordered else None


def attribution_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """The text for the samples of a store, the same for any order of the rows.

    Parameters
    ----------
    rows
        Rows of samples.parquet: sample_id, and per series its license, doi, collection_id and source.
    """
    samples: dict[str, dict[tuple[str, str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    series: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for one in row.get("series") or ():
            name = one.get("license") or UNKNOWN
            origin = (one.get("collection_id") or "", one.get("source") or "", one.get("doi") or "")
            samples[name][origin].add(row["sample_id"])
            series[name].add(one.get("series_uid") or "")
    names = sorted(samples, key=lambda name: (-restrictiveness(name), name))
    return "\n".join([_HEAD, *(_section(name, samples[name], len(series[name])) for name in names)])


def _section(name: str, origins: Mapping[tuple[str, str, str], set[str]], n_series: int) -> str:
    n_samples = len(set().union(*origins.values()))
    lines = [f"## {name}", "", f"{n_samples} samples, {n_series} series.", ""]
    agreement = agreement_of(name)
    if agreement is not None:
        terms = ", ".join(f"no {one}" for one in agreement.forbids)
        lines += [f"Bound by <{agreement.address}>: {terms}. Whoever has not signed it must not be given this.", ""]
    lines += [_line(*origin, n_samples=len(origins[origin])) for origin in sorted(origins)]
    return "\n".join([*lines, ""])


def _line(collection: str, source: str, doi: str, *, n_samples: int) -> str:
    what = collection or "no collection named"
    place = f" ({source})" if source else ""
    cite = f"cite {_link(doi)}" if doi else "no DOI known"
    return f"- {what}{place}: {n_samples} samples, {cite}"


def _link(doi: str) -> str:
    return doi if doi.startswith("http") else f"<https://doi.org/{doi.removeprefix('doi:')}>"
