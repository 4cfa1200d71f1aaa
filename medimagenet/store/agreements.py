"""Agreements that bind who has signed them: what they forbid, and the yes that work with such data needs.

A row of an index names its agreement by address (column `agreement`), and by the name of its licence; so does a store.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import LicenseError


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Terms that a person has signed, and that no licence passes on."""

    name: str
    """As the licence of a series."""
    address: str
    forbids: tuple[str, ...]


NMDID = Agreement(
    name="NMDID Data Use Agreement",
    address="https://nmdid.unm.edu/resources/data-use",
    forbids=(
        "redistribution",
        "publication of decedent IDs",
        "derivative data sets",
        "facial reconstruction for public view",
    ),
)

AGREEMENTS = {agreement.address: agreement for agreement in (NMDID,)}
"""Those whose terms are known, by address."""


def agreement_of(license_name: str | None, address: str | None = None) -> Agreement | None:
    """The agreement behind the name of a licence, or an address; None where there is none.

    One that is not known here forbids whatever its text says.
    """
    known = AGREEMENTS.get(address or "") or next(
        (one for one in AGREEMENTS.values() if license_name and one.name.casefold() == license_name.casefold()), None
    )
    if known is not None or not address:
        return known
    return Agreement(name=license_name or "agreement", address=address, forbids=("what its text says",))


def check_private_use(agreements: Iterable[Agreement | None], accepted: Iterable[str], *, what: str) -> None:
    """Raise unless every agreement has been said yes to, by its address or its name.

    Parameters
    ----------
    agreements
        Of the data; None is none.
    accepted
        What the user has said yes to.
    what
        What is about to be made, such as "a store".

    Raises
    ------
    LicenseError
        With what the agreement forbids, and how to say yes where the use is private and lawful.
    """
    said = {one.strip().casefold() for one in accepted}
    for agreement in dict.fromkeys(agreement for agreement in agreements if agreement is not None):
        if said.isdisjoint({agreement.address.casefold(), agreement.name.casefold()}):
            raise LicenseError(
                f"{what} of these data is bound by the {agreement.name} ({agreement.address}), which forbids "
                f"{', '.join(agreement.forbids)}. If you have signed it, and this is for your own use and stays with "
                f'you, say so: --accept-license "{agreement.address}" (Python: accept_licenses)'
            )


def refuse_original_ids(agreements: Iterable[Agreement | None]) -> None:
    """Raise where original IDs would get into what is made from data under an agreement that protects them.

    Raises
    ------
    LicenseError
        They would; pseudonyms are there for it, and the table that leads back stays with the user.
    """
    for agreement in agreements:
        if agreement is not None:
            raise LicenseError(
                f"original patient IDs of these data stay out of what is made of them: the {agreement.name} "
                f"({agreement.address}) forbids {', '.join(agreement.forbids)}; leave out --keep-patient-ids: the "
                "table beside the output leads back from pseudonyms"
            )
