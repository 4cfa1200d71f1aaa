"""Licences of the public index and of users: the expected answers are those of the licences' own texts."""

import pytest

from medimagenet.index.licenses import allows_commercial_use, by_restrictiveness, license_matches

NLM = "National Library of Medicine Terms and Conditions; May 21, 2019"


@pytest.mark.parametrize("name", ["CC BY 4.0", "CC-BY-3.0", "CC0-1.0", "CC BY-SA 4.0", "MIT"])
def test_commercial_use_is_allowed(name):
    assert allows_commercial_use(name)


@pytest.mark.parametrize("name", ["CC BY-NC 3.0", "CC-BY-NC-ND-4.0", NLM, None, "", "my own words", "TCIA Restricted"])
def test_commercial_use_is_not_known_to_be_allowed(name):
    assert not allows_commercial_use(name)


@pytest.mark.parametrize(
    ("asked", "name", "same"),
    [
        ("cc by", "CC BY 4.0", True),
        ("CC-BY-4.0", "CC BY 4.0", True),
        ("CC BY 3.0", "CC BY 4.0", False),
        ("cc by", "CC BY-NC 4.0", False),
        ("cc by-nc", "CC BY-NC 4.0", True),
        ("national library of medicine", NLM, True),
        ("commercial", "CC BY 4.0", True),
        ("Commercial", "CC BY-NC 4.0", False),
        ("MIT", "CC BY 4.0", False),
    ],
)
def test_names(asked, name, same):
    assert license_matches(asked, name) is same


def test_the_most_restrictive_is_first():
    names = ["CC BY 4.0", None, "CC0-1.0", "CC BY-NC 3.0", NLM, "CC BY 4.0"]
    assert by_restrictiveness(names) == [None, NLM, "CC BY-NC 3.0", "CC BY 4.0", "CC0-1.0"]
