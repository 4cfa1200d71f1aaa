"""What a step is, and what all of them share."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel

from ...findings import Finding
from ...geometry import Grid
from ...volume import Case, Mask, Volume

Part = TypeVar("Part", Volume, Mask)

Stage = Literal["source", "grid", "final"]
"""Where a recipe applies a step of its list: on the source's own grid, right after the classes are selected; on the
target grid, before the crop; or after the crop, before masks are checked and values normalized."""


class Step(Protocol):
    """One thing that happens to a case. Steps hold settings only, so one value may serve many cases at once."""

    def __call__(self, case: Case) -> Case:
        """The case after the step; the one given is not changed, its arrays may be shared."""
        ...


def leading(case: Case) -> Volume:
    """The image whose grid is the case's.

    Raises
    ------
    ValueError
        The case has no image.
    """
    if not case.images:
        raise ValueError(f"case {case.sample_id!r} has no image")
    return next(iter(case.images.values()))


def shared_grid(case: Case, done: str) -> Grid:
    """The grid of all images and the mask, which are to be cropped or padded together.

    Raises
    ------
    ValueError
        One is on another grid than the leading image.
    """
    grid = leading(case).grid
    for other in [image.grid for image in case.images.values()] + ([] if case.mask is None else [case.mask.grid]):
        if not other.is_close(grid):
            raise ValueError(f"to be {done} together, all must be on the leading grid {grid}, one is on {other}")
    return grid


def recorded(case: Case, step: Any, figures: Mapping[str, Any] | None = None, **changes: Any) -> Case:
    """The case with `changes`, and with the step, its settings and `figures` at the end of its provenance."""
    settings = {field.name: _plain(getattr(step, field.name)) for field in fields(step)}
    entry = {"step": type(step).__name__, **settings, **(figures or {})}
    return replace(case, provenance=(*case.provenance, entry), **changes)


def image_of(case: Case, name: str) -> Volume:
    """An image by its name.

    Raises
    ------
    ValueError
        There is no such image.
    """
    if name not in case.images:
        raise ValueError(f"no image {name!r}; there are {', '.join(case.images)}")
    return case.images[name]


def not_applied(case: Case, step: Any, name: str, why: str) -> Case:
    """The case as it is, with the finding `step_not_applied` at one of its images."""
    message = f"{type(step).__name__} was not applied: image {name} {why}"
    finding = Finding(code="step_not_applied", message=message, numbers={"image": name})
    image = with_findings(case.images[name], finding)
    return recorded(replace(case, images={**case.images, name: image}), step, {"applied": False})


def with_findings(part: Part, *findings: Finding) -> Part:
    """The same volume or mask with more findings."""
    return replace(part, findings=(*part.findings, *findings))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
