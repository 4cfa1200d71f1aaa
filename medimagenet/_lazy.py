"""Names of a package, and modules, that are imported when they are first used (PEP 562).

So ``import medimagenet`` costs nothing, and a query loads neither numba nor torch. Each package lists its names
three times: under ``TYPE_CHECKING`` for type checkers, in ``__all__`` for people, and here with the module that holds
them; a test holds the three equal.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
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


class LazyModule(ModuleType):
    """Stands for a module until one of its names is used: for slow ones that most runs can do without.

    The submodules whose names are used are given too, as the package alone need not import them.
    """

    def __init__(self, name: str, *submodules: str) -> None:
        super().__init__(name)
        self._submodules = submodules

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)
        for submodule in self._submodules:
            importlib.import_module(f"{self.__name__}.{submodule}")
        value = getattr(module, name)
        setattr(self, name, value)
        return value
