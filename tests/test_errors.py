"""The tree of errors: what callers may catch, and that the drawing in the docstring is the tree."""

import inspect
import re

import pytest

from medimagenet import errors

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value.__module__ == errors.__name__
}


def drawn_parents() -> dict[str, str]:
    """Each class in the drawing of the module's docstring with the class it hangs on."""
    parents, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    (?P<lead>[│├└─ ]*)(?P<name>[A-Z]\w*Error)\b", line)
        if match:
            depth = len(match["lead"]) // 4
            path = [*path[:depth], match["name"]]
            if depth:
                parents[match["name"]] = path[-2]
    return parents


def test_the_drawing_is_the_tree():
    parents = {name: value.__bases__[0].__name__ for name, value in CLASSES.items()}
    assert parents.pop("MedImageNetError") == "Exception"
    assert drawn_parents() == parents


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_one_clause_catches_all(name):
    with pytest.raises(errors.MedImageNetError, match="what, value, place"):
        raise CLASSES[name]("what, value, place")


def test_a_missing_package_is_also_an_import_error():
    with pytest.raises(ImportError) as caught:
        raise errors.MissingPackageError("torch is not installed", name="torch")
    assert caught.value.name == "torch"
