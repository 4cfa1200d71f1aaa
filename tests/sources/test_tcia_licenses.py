"""Licence names against the table of sources.md, 1.8, and the words of 1.0."""

import pytest

from medimagenet.sources.tcia_licenses import Access, access_of, licenses_disagree, short_license


@pytest.mark.parametrize(
    ("name", "short"),
    [  # sources.md, 1.8, last paragraph, in the words of indexes
        ("Creative Commons Attribution 3.0 Unported License", "CC BY 3.0"),
        ("Creative Commons Attribution 4.0 International License", "CC BY 4.0"),
        ("Creative Commons Attribution-NonCommercial 3.0 Unported License", "CC BY-NC 3.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International License", "CC BY-NC 4.0"),
        ("CC BY 4.0", "CC BY 4.0"),
        ("CC BY-NC 4.0", "CC BY-NC 4.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0", "CC BY-NC-SA 4.0"),
        ("CC0 1.0 Universal Public Domain Dedication (Creative Commons)", "CC0 1.0"),
        ("  TCIA  Restricted ", "TCIA Restricted"),
        ("National Library of Medicine Terms and Conditions; May 21, 2019",) * 2,
        ("", None),
        (None, None),
    ],
)
def test_short_names(name, short):
    assert short_license(name) == short


def test_an_address_tells_what_has_no_name():
    assert short_license(None, "http://creativecommons.org/licenses/by-nc/3.0/") == "CC BY-NC 3.0"
    assert short_license("", "https://creativecommons.org/publicdomain/zero/1.0/") == "CC0 1.0"
    assert short_license(None, "https://example.org/terms") is None


def test_a_name_and_an_address_of_two_licences_disagree():  # sources.md, 2.1: CC BY-NC 3.0 with a by/3.0 address
    assert licenses_disagree("CC BY-NC 3.0", "http://creativecommons.org/licenses/by/3.0/")
    assert not licenses_disagree("CC BY 3.0", "http://creativecommons.org/licenses/by/3.0/")
    assert not licenses_disagree("CC BY 3.0", None)


@pytest.mark.parametrize(
    ("name", "access"),
    [  # sources.md, 1.0, third point
        ("CC BY 4.0", Access.OPEN),
        ("Creative Commons Attribution 3.0 Unported License", Access.OPEN),
        ("CC BY-NC 3.0", Access.NONCOMMERCIAL),
        ("Creative Commons Attribution-NonCommercial 4.0 International License", Access.NONCOMMERCIAL),
        ("Controlled Access", Access.CONTROLLED),
        ("NIH Controlled", Access.CONTROLLED),
        ("TCIA Restricted License", Access.CONTROLLED),
        ("Data Usage Agreement", Access.CONTROLLED),
        ("dbGaP phs002192", Access.CONTROLLED),
        ("see the page", Access.UNKNOWN),
        (None, Access.UNKNOWN),
    ],
)
def test_who_may_have_the_data(name, access):
    assert access_of(name) is access
