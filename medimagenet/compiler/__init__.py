"""Compile: a selection and a recipe become a store.

=====  ======================  =========  ============================================
stage  takes                   gives      on disk
=====  ======================  =========  ============================================
here   `Index` and `Recipe`    `Store`    Zarr shards; report and patient key beside it
=====  ======================  =========  ============================================

What joins stages that may not import one another (decode, preprocess, store, viz) lives here.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decode import read_case as read_case
    from .report import CompileReport as CompileReport
    from .report import Outcome as Outcome
    from .run import compile_store as compile_store

_HOMES = {
    "CompileReport": "report",
    "Outcome": "report",
    "compile_store": "run",
    "read_case": "decode",
}

__all__ = ["CompileReport", "Outcome", "compile_store", "read_case"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
