"""ROI names: which region of which file belongs to which class of a recipe.

A pattern is a regular expression that must match the whole name, letter case and outer blanks ignored: ``gtv`` takes
"GTV" but not "GTV_Mass", ``gtv.*`` takes both. Patterns of a class are tried in their order.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Several = Literal["merge", "first"]
"""When one class matches several regions: their union, or the region that the earliest pattern matches."""

SeveralInMask = Literal["merge", "first", "separate"]
"""As `Several`, or each region in a channel of its own."""


@dataclass(frozen=True, slots=True)
class RoiMatch:
    """Which regions make up the classes."""

    classes: Mapping[str, tuple[str, ...]]
    """Per class the names taken; empty where nothing matched."""
    unused: tuple[str, ...]
    """Names that no class took."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes that matched nothing."""
        return tuple(name for name, taken in self.classes.items() if not taken)


def match_rois(names: Sequence[str], classes: Mapping[str, Sequence[str]], *, several: Several = "merge") -> RoiMatch:
    """Match region names against the patterns of each class.

    Parameters
    ----------
    names : region names as the file has them; a repeated name is taken once
    classes : per class its patterns, most wanted first
    several : what a class takes when more than one name matches

    Raises
    ------
    ValueError
        A pattern is not a regular expression.
    """
    taken: dict[str, tuple[str, ...]] = {}
    for label, patterns in classes.items():
        found = [name for pattern in patterns for name in _matching(pattern, label, names)]
        unique = tuple(dict.fromkeys(found))
        taken[label] = unique[:1] if several == "first" else unique
    used = {name for group in taken.values() for name in group}
    return RoiMatch(taken, tuple(name for name in dict.fromkeys(names) if name not in used))


def _matching(pattern: str, label: str, names: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} of class {label!r} is not a regular expression: {error}") from error
    return [name for name in names if expression.fullmatch(name.strip())]
