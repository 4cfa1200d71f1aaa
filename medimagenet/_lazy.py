"""Names of a package that are imported when they are first used (PEP 562).

So ``import medimagenet`` costs nothing, and a query loads neither numba nor torch. Each package lists its names
three times: under ``TYPE_CHECKING`` for type checkers, in ``__all__`` for people, and here with the module that holds
them; a test holds the three equal.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : its ``__name__``
    homes : per public name the module below the package that holds it
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(homes))}")
        value = getattr(importlib.import_module(f".{homes[name]}", package), name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    return get, lambda: sorted(getattr(sys.modules[package], "__all__", homes))
