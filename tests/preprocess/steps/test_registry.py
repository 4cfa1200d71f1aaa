"""Steps by name: every listed one exists, one's own is found by its import path, mistakes are told."""

from dataclasses import dataclass, fields

import pytest

from medimagenet.preprocess import steps
from medimagenet.preprocess.steps.registry import STEPS, build_step, stage_of, step_class
from medimagenet.volume import Case


@dataclass(frozen=True)
class Doubled:
    """A step that a user writes."""

    image: str = "MR"

    def __call__(self, case: Case) -> Case:
        image = case.images[self.image]
        changed = {**case.images, self.image: image.with_array(image.array * 2)}
        return steps.recorded(case, self, images=changed)


@dataclass
class NotFrozen:
    image: str = "MR"

    def __call__(self, case: Case) -> Case:
        return case


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_listed_step_is_there_and_public(name):
    kind = step_class(name)
    assert kind.__name__ == name
    assert getattr(steps, name) is kind
    assert kind.__doc__
    assert stage_of(kind) in ("source", "grid", "final")
    assert all(field.kw_only for field in fields(kind))


def test_a_step_of_ones_own_is_found_by_its_path(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "my_steps", __import__("types").SimpleNamespace(Doubled=Doubled))
    step = build_step("my_steps:Doubled", {"image": "PT"})
    assert step == Doubled("PT")
    assert stage_of(step) == "final"


def test_lists_of_yaml_become_tuples():
    assert build_step("CropPad", {"size": [1, 2, None]}).size == (1, 2, None)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("Denoize", {}, "unknown step 'Denoize', did you mean 'Denoise'"),
        ("Denoise", {"imag": "CT"}, "no setting 'imag'; it has image, method, strength"),
        ("Denoise", {}, "cannot be made of"),
        ("no_such_package:Step", {}, "cannot be imported"),
        ("os:system", {}, "must be a frozen dataclass"),
        (f"{__name__}:NotFrozen", {}, "cannot be imported|must be a frozen dataclass"),
    ],
)
def test_mistakes_are_told(name, settings, words):
    with pytest.raises(ValueError, match=words):
        build_step(name, settings)
