"""Preprocess takes a `Case`, gives a `Case` and its provenance, and writes nothing to disk.

A `Recipe` is the file a user writes; `preprocess` applies its steps in one fixed order; each step is a frozen value
in `steps` that can be used alone; `assign_splits` deals patients out to training, validation and test.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .pipeline import preprocess as preprocess
    from .pipeline import steps_of as steps_of
    from .recipe import PREPROCESS_VERSION as PREPROCESS_VERSION
    from .recipe import Recipe as Recipe
    from .split import assign_splits as assign_splits

_HOMES = {
    "PREPROCESS_VERSION": "recipe",
    "Recipe": "recipe",
    "assign_splits": "split",
    "preprocess": "pipeline",
    "steps_of": "pipeline",
}

__all__ = ["PREPROCESS_VERSION", "Recipe", "assign_splits", "preprocess", "steps_of"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
