"""Steps by name: those of the library, those of other packages by import path. Imported when they are asked for."""

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

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
    values = {key: _frozen(value) for key, value in settings.items()}
    if name in STEPS:
        _check_types(name, kind, values)
    try:
        step: Step = kind(**values)
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


def schemas() -> Iterator[tuple[str, str, dict[str, Any], list[str]]]:
    """Of each step of the library its name, what it does, the JSON schema of each setting, and which must be given."""
    for name in STEPS:
        kind = step_class(name)
        hints = get_type_hints(kind)
        settings, required = {}, []
        for field in dataclasses.fields(kind):
            settings[field.name] = TypeAdapter(hints[field.name]).json_schema()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                required.append(field.name)
        yield name, (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " "), settings, required


def mismatch(name: str, step: Any, images: Sequence[str], classes: Sequence[str]) -> str | None:
    """Why a step of the library does not go with a recipe, None where it does; of others nothing is known.

    Parameters
    ----------
    images : modalities of the recipe's images
    classes : of its masks, which must be the same after the step
    """
    if name not in STEPS:
        return None
    image = getattr(step, "image", None)
    if image is not None and image not in images:
        return f"{name} is for the image {image!r}, the recipe's images are {', '.join(images)}"
    into = getattr(step, "into", None)
    wanted = [*(getattr(step, "classes", None) or ()), *([] if into is None else [into])]
    absent = [each for each in wanted if each not in classes]
    if absent:
        return f"{name} is for the class {absent[0]!r}, the recipe's classes are {', '.join(classes) or 'none'}"
    if into is not None and not step.keep and {*step.classes} - {into}:
        return f"{name} with keep: false leaves the recipe without {', '.join(step.classes)}, which are in rois"
    return None


def _check_types(name: str, kind: Any, values: Mapping[str, Any]) -> None:
    """Refuse what a field cannot be, before a sample is read: text for a number, one name for a list of them."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            detail = error.errors()[0]
            if detail["type"] == "missing":  # a list that is too short: the step says it better
                continue
            place = ".".join(map(str, (key, *(part for part in detail["loc"] if isinstance(part, int)))))
            message = detail["msg"].replace("tuple", "list")
            raise ValueError(f"{place} of {name} cannot be {detail['input']!r}: {message}") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
