"""ATTRIBUTION.md of a folder of downloads: what must be said, and what must not be done, by licence."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ..store.attribution import UNKNOWN, restrictiveness
from .journal import Downloaded

FILE = "ATTRIBUTION.md"

_HEAD = """# Attribution

The files in this folder were downloaded from the data sets below. Each keeps the licence of its source; the most
restrictive one, named first, applies to whatever is made from all of them. Cite every data set that you use, and do not
try to find out who the patients are. `DOWNLOADS.parquet` says of every series where it came from, when, and under which
licence.
"""

_Origin = tuple[str, str, str, str]  # collection, source, DOI, citation


def attribution_text(records: Iterable[Downloaded]) -> str:
    """The text of ATTRIBUTION.md, the same for any order of the records. It names no patient."""
    groups: dict[tuple[str, str, str], dict[_Origin, int]] = defaultdict(lambda: defaultdict(int))
    for record in records:
        terms = record.license or UNKNOWN, record.license_url or "", record.agreement or ""
        name = record.analysis_result_id or record.collection_id or ""
        groups[terms][name, record.source, record.doi or "", record.citation or ""] += 1
    order = sorted(groups, key=lambda terms: (not terms[2], -restrictiveness(terms[0]), terms))
    return "\n".join([_HEAD, *(_section(terms, groups[terms]) for terms in order)])


def _section(terms: tuple[str, str, str], origins: Mapping[_Origin, int]) -> str:
    license_name, address, agreement = terms
    lines = [f"## {license_name}", ""]
    lines += [f"<{address}>", ""] if address else []
    lines += [f"Bound by an agreement: <{agreement}>", ""] if agreement else []
    for name, source, doi, citation in sorted(origins):
        number = origins[name, source, doi, citation]
        lines.append(f"- **{name or 'no collection named'}** ({source}): {number} series. {_cite(doi, citation)}")
    return "\n".join([*lines, ""])


def _cite(doi: str, citation: str) -> str:
    address = f"<https://doi.org/{doi.removeprefix('doi:')}>" if doi and "://" not in doi else f"<{doi}>" if doi else ""
    return f"Cite: {citation or address}" if citation or address else "No DOI known."
