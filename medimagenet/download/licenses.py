"""What a user has to say yes to before anything is fetched: non-commercial licences, agreements, unknown terms."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import LicenseError
from ..index.licenses import allows_commercial_use, license_matches
from ..store.attribution import restrictiveness

UNKNOWN = "unknown"
"""What is said yes to where series name no licence."""

_CREATIVE_COMMONS = re.compile(
    r"(?:cc|creative commons)[ -]*(?P<terms>by(?:[ -]+(?:nc|nd|sa))*)[ -]*(?P<version>[1-4]\.\d)", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Series that are under the same licence, and the same agreement."""

    license: str | None
    agreement: str | None
    series: int
    size_bytes: int
    commercial: bool
    """Whether commercial use is known to be allowed."""

    @property
    def to_accept(self) -> str | None:
        """What has to be said yes to, by which name; None where nothing."""
        if self.agreement:
            return self.agreement
        return None if self.commercial else self.license or UNKNOWN


def terms_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Terms, ...]:
    """The terms of series, the most restrictive first."""
    counted: dict[tuple[str | None, str | None], list[int]] = {}
    for row in rows:
        found = counted.setdefault((row["license"] or None, row["agreement"] or None), [0, 0])
        found[0] += 1
        found[1] += row["size_bytes"] or 0
    terms = [
        Terms(
            license=license_name,
            agreement=agreement,
            series=series,
            size_bytes=size_bytes,
            commercial=agreement is None and allows_commercial_use(license_name),
        )
        for (license_name, agreement), (series, size_bytes) in counted.items()
    ]
    return tuple(sorted(terms, key=lambda one: (not one.agreement, -restrictiveness(one.license), one.license or "")))


def not_accepted(terms: Iterable[Terms], accepted: Iterable[str]) -> list[str]:
    """What still has to be said yes to, each once."""
    names = [one.to_accept for one in terms if one.to_accept is not None]
    accepted = list(accepted)
    return [name for name in dict.fromkeys(names) if not any(_is(said, name) for said in accepted)]


def check_accepted(terms: Iterable[Terms], accepted: Iterable[str]) -> None:
    """Raise unless everything that needs it has been said yes to.

    Raises
    ------
    LicenseError
        With all of what is missing.
    """
    missing = not_accepted(terms, accepted)
    if missing:
        options = " ".join(f'--accept-license "{name}"' for name in missing)
        raise LicenseError(
            f"licences or agreements that restrict what may be done with these data: {'; '.join(missing)}; read them, "
            f"then say yes to each: {options} (Python: accept_licenses={missing!r})"
        )


def _is(said: str, name: str) -> bool:
    """Whether what was said is this licence, or this address of an agreement. Not a part of either."""
    if said.strip().casefold() == name.casefold():
        return True
    return "://" not in name and name != UNKNOWN and said.strip() != "" and license_matches(said, name)


def spdx(license_name: str | None) -> tuple[str | None, str | None]:
    """Identifier of SPDX and address of a licence of Creative Commons, by any of its names; else None, None."""
    match = _CREATIVE_COMMONS.search((license_name or "").replace("_", " "))
    if match is None:
        return None, None
    terms = re.sub(r"[ -]+", "-", match["terms"].lower())
    return (
        f"CC-{terms.upper()}-{match['version']}",
        f"https://creativecommons.org/licenses/{terms}/{match['version']}/",
    )
