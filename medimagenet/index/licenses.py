"""Licences of series: which allow commercial use, which is the most restrictive of several."""

from collections.abc import Iterable

from ..store.attribution import restrictiveness

_NON_COMMERCIAL = 30  # what `restrictiveness` gives to NC; agreements and unknown words are above it

COMMERCIAL = "commercial"
"""What is asked for instead of a name: every licence that allows commercial use."""


def allows_commercial_use(license_name: str | None) -> bool:
    """Whether a licence is known to allow it: not where it says NC, is an agreement, is unknown or in unknown words."""
    return restrictiveness(license_name) < _NON_COMMERCIAL


def license_matches(asked: str, license_name: str) -> bool:
    """Whether a licence is the one asked for, by name or by the beginning of its name, its version left out.

    Case, hyphens and blanks do not matter: ``cc-by`` is "CC BY 4.0" and "CC BY 3.0", not "CC BY-NC 3.0".
    """
    if asked.strip().casefold() == COMMERCIAL:
        return allows_commercial_use(license_name)
    words, wanted = _words(license_name), _words(asked)
    rest = words[len(wanted) :]
    return words[: len(wanted)] == wanted and (not rest or rest[0][0].isdigit() or "TERMS" in words)


def by_restrictiveness(licenses: Iterable[str | None]) -> list[str | None]:
    """Each licence once, the most restrictive first; None, an unknown one, before all."""
    return sorted(set(licenses), key=lambda name: (-restrictiveness(name), name or ""))


def _words(name: str) -> list[str]:
    return name.upper().replace("-", " ").replace("_", " ").split()
