"""Griffe extension: numpydoc puts a type after the colon, our docstrings put shape, unit and axis order there.

``name : (n, 3), mm`` becomes ``name`` with that text as its description, so that the reference shows the type of the
signature and the text where a reader expects it.
"""

import re
from typing import Any

import griffe

PARAMETERS = re.compile(r"(?<=^Parameters\n----------\n)(?:.*\n?)*?(?=^\S.*\n-+\n|\Z)", re.MULTILINE)
ENTRY = re.compile(r"^(?P<names>\S[^:\n]*?) : (?P<text>.+)$", re.MULTILINE)


class Shapes(griffe.Extension):
    """Rewrites docstrings before they are parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = PARAMETERS.sub(_text_below_names, obj.docstring.value)


def _text_below_names(section: re.Match[str]) -> str:
    return ENTRY.sub(lambda entry: f"{entry['names']}\n    {entry['text']}", section[0])
