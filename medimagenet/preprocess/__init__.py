"""Preprocess takes a `Case`, gives a `Case` and its provenance, and writes nothing to disk.

A `Recipe` is the file a user writes; `preprocess` applies its steps in one fixed order; each step is a frozen value
in `steps` that can be used alone; `assign_splits` deals patients out to training, validation and test.
"""

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
