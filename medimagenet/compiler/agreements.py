"""Agreements of the data that a compile or a conversion would use, checked before anything is written."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..index import Index
from ..store.agreements import Agreement, agreement_of, check_private_use, refuse_original_ids

if TYPE_CHECKING:
    from ..store import Store  # would load all that reads one


def check_agreements(
    source: "Index | Store", accepted: Sequence[str], *, keep_patient_ids: bool = False, what: str
) -> None:
    """Raise where what is about to be made is bound by an agreement that has not been said yes to.

    Parameters
    ----------
    accepted
        Addresses or names of agreements that the user has said yes to.
    keep_patient_ids
        Whether original IDs would be in it: never, of data under an agreement.
    what
        Is about to be made, such as "a store".

    Raises
    ------
    LicenseError
        With what the agreement forbids.
    """
    found = list(dict.fromkeys(_agreements(source)))
    if keep_patient_ids:
        refuse_original_ids(found)
    check_private_use(found, accepted, what=what)


def _agreements(source: "Index | Store") -> Iterator[Agreement]:
    """Of an index those that its rows name; of a store those behind the licences of its series."""
    if isinstance(source, Index):
        licenses, agreements = (source.table.column(name).to_pylist() for name in ("license", "agreement"))
        terms = set(zip(licenses, agreements, strict=True))
    else:
        rows = source.samples.select(["series"]).to_pylist()
        terms = {(series["license"], None) for row in rows for series in row["series"] or ()}
    for license_name, address in sorted(terms, key=str):
        agreement = agreement_of(license_name, address)
        if agreement is not None:
            yield agreement
