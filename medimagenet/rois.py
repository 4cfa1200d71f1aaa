"""ROI names: which region of which file belongs to which class of a recipe.

A pattern is a regular expression that must match the whole name, letter case and outer blanks ignored: ``gtv`` takes
"GTV" but not "GTV_Mass", ``gtv.*`` takes both. Patterns of a class are tried in their order.

``tg263:NAME`` takes every spelling of a structure of the AAPM's vocabulary (Mayo et al., TG-263, 2018):
``tg263:Lung_L`` takes "Lung_L", "LT LUNG", "Lung-Left", "LungLeft". The spellings known are in ``tg263.csv``: names
of the common structures, each as the AAPM's nomenclature worksheet of 2017-08-15 has it (names alone: its descriptions
and codes are the AAPM's), with our synonyms. Its column ``both`` is empty where a structure has no sides; else it is
the worksheet's name of both sides together or of one that is not told, "-" where the worksheet has none. Left and right
are read from l, lt, left, r, rt, right; a name that has more words than a spelling, such as "Heart PRV" or
"Lung_L-GTV", is another structure and is not taken.
"""

import csv
import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

VOCABULARY = "tg263:"
"""How a pattern begins that names a structure of the vocabulary."""

TARGETS = ("GTV", "CTV", "ITV", "PTV", "IGTV", "ICTV")
"""Target volumes; ``tg263:GTV`` takes GTVp, GTVn, GTV_1 and GTV_Mass_CT too, not GTV+5 or PTV-GTV."""

_SIDES = {
    **dict.fromkeys(("l", "lt", "lft", "left", "li", "links"), "L"),
    **dict.fromkeys(("r", "rt", "rgt", "right", "re", "rechts"), "R"),
    **dict.fromkeys(("both", "bilat", "bilateral", "total", "combined"), "both"),
}
_NO_NAME = "-"
_JOINED_SIDES = ("left", "right", "lt", "rt", "l", "r")  # as the end or begin of a word, longest first
_TARGET = re.compile(r"(i?gtv|i?ctv|itv|ptv)([pn]?)[a-z]?")
_LABELS = frozenset(  # words behind a target's name that tell it from others of its kind: dose, place, part, modality
    (
        *("gy", "cgy", "high", "low", "mid", "boost", "left", "right", "lt", "rt"),
        *("prim", "primary", "mass", "tumor", "tumour", "total"),
        *("ct", "cbct", "pet", "pt", "fdg", "mr", "mri"),
    )
)
_NODES = frozenset(("node", "nodes", "nodal", "ln"))

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


def check_pattern(pattern: str) -> None:
    """Refuse what is no pattern.

    Raises
    ------
    ValueError
        It is not a regular expression, or names a structure that the vocabulary does not have.
    """
    if pattern.startswith(VOCABULARY):
        wanted = pattern.removeprefix(VOCABULARY).strip()
        known = tg263_names()
        if wanted not in known:
            lower = {name.lower(): name for name in known}
            near = [lower[each] for each in difflib.get_close_matches(wanted.lower(), lower, n=3)]
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(f"{wanted!r} is no structure of the TG-263 vocabulary{hint}")
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def tg263_names() -> tuple[str, ...]:
    """Names of the structures that the vocabulary knows, with their sides: "GTV", "Heart", "Lung_L", "Lungs"."""
    return tuple(sorted({*_spellings().values(), *TARGETS}))


def tg263_name(name: str) -> str | None:
    """The vocabulary's name of a structure that a region name spells, None where it is not known or lacks its side.

    Examples
    --------
    >>> [tg263_name(name) for name in ("LT LUNG", "Spinal-Cord", "gtv_1", "Lung", "Heart PRV")]
    ['Lung_L', 'SpinalCord', 'GTV', None, None]
    """
    known = _spellings()
    words = _words(name)
    if target := _target(name, words):
        return target
    if direct := known.get(" ".join(words)) or known.get("".join(words)):
        return direct
    sides = {_SIDES[word] for word in words if word in _SIDES}
    rest = "".join(word for word in words if word not in _SIDES)
    if len(sides) == 1:
        return known.get(f"{rest} {sides.pop()}")
    if not sides:
        return next((found for key in _without_side(rest) if (found := known.get(key))), None)
    return None


def _words(name: str) -> list[str]:
    """Lower-case words and numbers of a name; a capital inside a word begins another one."""
    decomposed = unicodedata.normalize("NFKD", name.replace("œ", "oe").replace("Œ", "OE"))
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))  # without accents
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", " ", plain)
    return re.findall(r"[^\W\d_]+|\d+", apart.lower())


def _target(name: str, words: Sequence[str]) -> str | None:
    """The target volume that a name begins with, where nothing but numbers, letters and labels follows.

    A name with "+" is of a target with a margin, or of several.
    """
    if words[:1] == ["i"]:  # iGTV, of which the capital makes two words
        words = ["".join(words[:2]), *words[2:]]
    target = _TARGET.fullmatch(words[0]) if words and "+" not in name else None
    if target is None or not all(word.isdigit() or len(word) == 1 or word in _LABELS | _NODES for word in words[1:]):
        return None
    return target[1].upper() + (target[2] or "n" * (not _NODES.isdisjoint(words)))


def _without_side(word: str) -> list[str]:
    """Keys of the word with a side cut off its end or its begin: "parotidleft", "ltlung"."""
    ends = [
        f"{word.removesuffix(side)} {_SIDES[side]}"
        for side in _JOINED_SIDES
        if word.endswith(side) and not re.search(r"a[lr]$", word)  # "cochlear", "retinal"
    ]
    begins = [f"{word.removeprefix(side)} {_SIDES[side]}" for side in _JOINED_SIDES if word.startswith(side)]
    return [*ends, *begins]


@cache
def _spellings() -> dict[str, str]:
    """Name of the vocabulary by the words of a spelling run together, with " L", " R" or " both" of the paired."""
    found: dict[str, str] = {}
    with Path(__file__).with_name("tg263.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        structure, both = row["structure"], row["both"]
        for spelling in (structure, *filter(None, row["synonyms"].split(";"))):
            key = "".join(_words(spelling))
            if not both:
                found.setdefault(key, structure)
                continue
            found |= {f"{key} {side}": f"{structure}_{side}" for side in "LR"}
            if both == structure:
                found |= {key: both, f"{key} both": both}
            elif both != _NO_NAME:
                found |= {f"{key} both": both, f"{key}s": both}
        if both and both != _NO_NAME:
            found["".join(_words(both))] = both
    return found


def _matching(pattern: str, label: str, names: Sequence[str]) -> list[str]:
    try:
        check_pattern(pattern)
    except ValueError as error:
        raise ValueError(f"pattern {pattern!r} of class {label!r}: {error}") from error
    if pattern.startswith(VOCABULARY):
        wanted = pattern.removeprefix(VOCABULARY).strip()
        return [name for name in names if _is_structure(name, wanted)]
    expression = re.compile(pattern, re.IGNORECASE)
    return [name for name in names if expression.fullmatch(name.strip())]


def _is_structure(name: str, wanted: str) -> bool:
    found = tg263_name(name)
    return found == wanted or (wanted in TARGETS and found in (f"{wanted}p", f"{wanted}n"))
