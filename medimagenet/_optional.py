"""The one door to optional packages."""

import importlib
import importlib.util
from types import ModuleType

from .errors import MissingPackageError


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say how to get it.

    Raises
    ------
    MissingPackageError
        The package is not installed. The message ends with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise  # the package is there, something that it needs is not: its own message says more
        raise MissingPackageError(
            f'{module} is not installed, and this needs it: pip install "medimagenet[{extra}]"', name=error.name
        ) from error


def is_installed(module: str) -> bool:
    """Whether an optional package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
