"""Steps by name: those of the library, those of other packages by import path. Imported when they are asked for."""

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, cast

from .step import Stage, Step

STEPS = {
    "ClipPercentile": "values",
    "CropPad": "pad",
    "Denoise": "filters",
    "HistogramMatch": "values",
    "LargestComponent": "masks",
    "MergeLabels": "masks",
    "MonaiTransform": "filters",
    "N4BiasCorrection": "filters",
    "SimpleItkFilter": "filters",
    "Suv": "values",
    "ToCtGrid": "pad",
    "ToPetGrid": "pad",
}
"""What a recipe can name without an import path, and the module that holds it."""


def build_step(name: str, settings: Mapping[str, Any]) -> Step:
    """The step of a name and its settings; lists become tuples.

    Parameters
    ----------
    name : a key of `STEPS`, or ``package.module:Class`` for a step of your own, which is a frozen dataclass

    Raises
    ------
    ValueError
        No such step, one that is no frozen dataclass with ``__call__``, or wrong settings.
    """
    kind = step_class(name)
    known = [field.name for field in dataclasses.fields(cast(Any, kind)) if field.init]
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    try:
        step: Step = kind(**{key: _frozen(value) for key, value in settings.items()})
    except TypeError as error:
        raise ValueError(f"{name} cannot be made of {dict(settings)}: {error}") from error
    return step


def step_class(name: str) -> Any:
    """The class of a step by its name.

    Raises
    ------
    ValueError
        There is no such class, or it is no step.
    """
    if ":" not in name:
        if name not in STEPS:
            close = difflib.get_close_matches(name, STEPS, n=1)
            hint = f", did you mean {close[0]!r}?" if close else ";"
            raise ValueError(f"unknown step {name!r}{hint} known: {', '.join(STEPS)}, or package.module:Class")
        return getattr(importlib.import_module(f".{STEPS[name]}", __package__), name)
    module, _, attribute = name.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"step {name!r} cannot be imported: {error}") from error
    is_frozen = inspect.isclass(kind) and dataclasses.is_dataclass(kind) and cast(Any, kind).__dataclass_params__.frozen
    if not is_frozen or not callable(getattr(kind, "__call__", None)):  # noqa: B004 - the class's own, not the type's
        raise ValueError(f"step {name!r} must be a frozen dataclass with __call__(self, case), got {kind!r}")
    return kind


def stage_of(step: Step) -> Stage:
    """Where a recipe applies it, unless the recipe says so: its class's `stage`, else "final"."""
    stage: Stage = getattr(step, "stage", "final")
    return stage


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
