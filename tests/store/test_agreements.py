"""What an agreement blocks, and what opens it."""

import pytest

from medimagenet.errors import LicenseError
from medimagenet.store.agreements import NMDID, agreement_of, check_private_use, refuse_original_ids

OTHER = "https://example.org/terms"


def test_an_agreement_is_found_by_its_address_and_by_its_name():
    assert agreement_of(None, NMDID.address) is NMDID
    assert agreement_of("nmdid data use agreement") is NMDID
    assert agreement_of("CC BY 4.0") is None
    assert agreement_of(None) is None
    assert agreement_of("Our terms", OTHER).address == OTHER


def test_what_it_forbids_is_said_before_anything_is_made():
    with pytest.raises(
        LicenseError, match=r"a store of these data is bound by the NMDID.*derivative data sets"
    ) as caught:
        check_private_use([None, NMDID], (), what="a store")
    assert f'--accept-license "{NMDID.address}"' in str(caught.value)


@pytest.mark.parametrize("said", [NMDID.address, NMDID.name.upper(), f" {NMDID.address} "])
def test_a_yes_to_it_opens_it(said):
    check_private_use([NMDID, None, NMDID], [said], what="a store")


def test_a_yes_to_another_does_not():
    with pytest.raises(LicenseError, match="NMDID"):
        check_private_use([agreement_of(None, OTHER), NMDID], [OTHER], what="a store")
    with pytest.raises(LicenseError, match="NMDID"):
        check_private_use([NMDID], ["CC BY 4.0", "agreement", ""], what="a store")


def test_original_ids_stay_out_whatever_was_said():
    refuse_original_ids([None])
    with pytest.raises(LicenseError, match="publication of decedent IDs"):
        refuse_original_ids([None, NMDID])
