"""What has to be said yes to, and what that is said yes by."""

import pytest

from medimagenet.download.licenses import check_accepted, not_accepted, spdx, terms_of
from medimagenet.errors import LicenseError

AGREEMENT = "https://nmdid.unm.edu/resources/data-use"


def rows(*licenses, agreement=None):
    return [{"license": name, "agreement": agreement, "size_bytes": 10} for name in licenses]


def test_terms_are_counted_and_the_most_restrictive_is_first():
    terms = terms_of([*rows("CC BY 4.0", "CC BY 4.0", "CC BY-NC 3.0", None), *rows("CC0", agreement=AGREEMENT)])
    assert [(one.license, one.agreement, one.series, one.size_bytes, one.commercial) for one in terms] == [
        ("CC0", AGREEMENT, 1, 10, False),
        (None, None, 1, 10, False),
        ("CC BY-NC 3.0", None, 1, 10, False),
        ("CC BY 4.0", None, 2, 20, True),
    ]
    assert not_accepted(terms, []) == [AGREEMENT, "unknown", "CC BY-NC 3.0"]


@pytest.mark.parametrize("name", ["CC BY 4.0", "CC BY 3.0", "CC0", "CC-BY-SA-4.0", "MIT"])
def test_nothing_has_to_be_said_to_free_licences(name):
    check_accepted(terms_of(rows(name)), [])


@pytest.mark.parametrize(
    ("name", "said", "enough"),
    [
        ("CC BY-NC 3.0", "CC BY-NC 3.0", True),
        ("CC BY-NC 3.0", "cc-by-nc-3.0", True),
        ("CC BY-NC 3.0", "CC BY-NC", True),
        ("CC BY-NC 3.0", "CC BY-NC 4.0", False),
        ("CC BY-NC 3.0", "CC BY", False),
        ("CC BY-NC-ND 4.0", "CC BY-NC", False),
        ("CC BY-NC 3.0", "", False),
        ("CC BY-NC 3.0", "commercial", False),
        (None, "unknown", True),
        (None, "CC BY", False),
        ("Restricted", "unknown", False),
    ],
)
def test_what_is_enough(name, said, enough):
    assert (not_accepted(terms_of(rows(name)), [said]) == []) is enough


def test_an_agreement_is_named_by_its_address_only():
    terms = terms_of(rows("CC BY 4.0", agreement=AGREEMENT))
    assert not_accepted(terms, ["CC BY 4.0", "https://nmdid.unm.edu", "unknown"]) == [AGREEMENT]
    assert not_accepted(terms, [AGREEMENT]) == []


def test_the_error_says_what_to_type():
    with pytest.raises(LicenseError, match=r'--accept-license "unknown" --accept-license "CC BY-NC 3.0"'):
        check_accepted(terms_of(rows("CC BY-NC 3.0", None, "CC BY 4.0")), ["CC BY 4.0"])


@pytest.mark.parametrize(
    ("name", "identifier", "address"),
    [
        ("CC BY 4.0", "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/"),
        ("CC BY-NC 3.0", "CC-BY-NC-3.0", "https://creativecommons.org/licenses/by-nc/3.0/"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
        ("National Library of Medicine Terms and Conditions; May 21, 2019", None, None),
        (None, None, None),
    ],
)
def test_spdx(name, identifier, address):
    assert spdx(name) == (identifier, address)
