"""ATTRIBUTION.md: the order of licences, whose judge is what Creative Commons says each one forbids."""

import itertools

import pytest

from medimagenet.store import attribution_markdown, most_restrictive
from medimagenet.store.attribution import restrictiveness

ORDERED = [
    None,
    "Some Licence Nobody Knows",
    "TCIA Restricted License",
    "CC BY-NC-ND 4.0",
    "CC BY-NC-SA 4.0",
    "CC BY-NC 4.0",
    "CC BY-ND 4.0",
    "CC BY-SA 4.0",
    "CC BY 4.0",
    "CC0 1.0",
]


@pytest.mark.parametrize(("more", "less"), list(itertools.combinations(ORDERED, 2)))
def test_order(more, less):
    assert restrictiveness(more) > restrictiveness(less)
    assert most_restrictive([less, more]) == most_restrictive([more, less]) == more


@pytest.mark.parametrize(
    "words",
    [
        "Creative Commons Attribution-NonCommercial 3.0 Unported",
        "https://creativecommons.org/licenses/by-nc/3.0/",
        "CC-BY-NC-3.0",
        "Creative Commons Attribution Non-Commercial 3.0",
    ],
)
def test_the_same_licence_in_other_words(words):
    assert restrictiveness(words) == restrictiveness("CC BY-NC 4.0")


def test_of_none():
    assert most_restrictive([]) is None


def rows():
    by = {"license": "CC BY 4.0", "doi": "10.7937/K9/TCIA.2015.7GO2GSKS", "collection_id": "sts", "source": "tcia"}
    return [
        {"sample_id": "a", "series": [{**by, "series_uid": "1"}, {**by, "series_uid": "2"}]},
        {"sample_id": "b", "series": [{**by, "series_uid": "3"}, {"series_uid": "4", "license": "CC BY-NC 3.0"}]},
        {"sample_id": "c", "series": [{"series_uid": "5", "license": None, "collection_id": "mine"}]},
        {"sample_id": "d", "series": None},
    ]


def test_the_text():
    text = attribution_markdown(rows())
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["## unknown licence", "## CC BY-NC 3.0", "## CC BY 4.0"]
    assert "2 samples, 3 series." in text
    assert "- sts (tcia): 2 samples, cite <https://doi.org/10.7937/K9/TCIA.2015.7GO2GSKS>" in text
    assert "- mine: 1 samples, no DOI known" in text


def test_the_order_of_rows_does_not_matter():
    assert attribution_markdown(rows()) == attribution_markdown(rows()[::-1])
