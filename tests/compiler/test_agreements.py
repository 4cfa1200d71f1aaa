"""Data under an agreement: nothing is made of them before a yes, and their IDs never leave."""

import pyarrow as pa
import pytest

from medimagenet.compiler.convert import convert_dataset
from medimagenet.compiler.run import compile_store
from medimagenet.errors import LicenseError
from medimagenet.index import Index
from medimagenet.index.schema import SCHEMA
from medimagenet.store import open_store
from medimagenet.store.agreements import NMDID


@pytest.fixture(scope="module")
def bound(index):
    """Two of the six patients, as the importer of NMDID would list them."""
    terms = {"source": "nmdid", "collection_id": "nmdid", "license": NMDID.name, "agreement": NMDID.address}
    patients = sorted({row["PatientID"] for row in index.rows()})[:2]
    rows = [row | terms for row in index.rows() if row["PatientID"] in patients]
    return Index(pa.Table.from_pylist(rows, schema=SCHEMA))


@pytest.fixture(scope="module")
def store(bound, recipe, tmp_path_factory):
    """Made with a yes."""
    path = tmp_path_factory.mktemp("bound") / "x.zarr"
    compile_store(bound, recipe, path, jobs=1, accept_licenses=[NMDID.address])
    return path


@pytest.mark.parametrize("accepted", [(), ("CC0-1.0",), ("https://nmdid.unm.edu",)])
def test_no_store_without_a_yes(bound, recipe, tmp_path, accepted):
    with pytest.raises(LicenseError, match=r"a store of these data .*redistribution.*derivative data sets"):
        compile_store(bound, recipe, tmp_path / "x.zarr", jobs=1, accept_licenses=accepted)
    assert list(tmp_path.iterdir()) == []


def test_no_copy_in_another_format_without_a_yes(bound, tmp_path):
    with pytest.raises(LicenseError, match="a copy in another format of these data"):
        convert_dataset(bound, tmp_path / "out", jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_one_bound_series_among_many_binds_all(bound, index, recipe, tmp_path):
    mixed = Index(pa.concat_tables([index.table, bound.table]))
    with pytest.raises(LicenseError, match="NMDID"):
        compile_store(mixed, recipe, tmp_path / "x.zarr", jobs=1)


def test_with_a_yes_ids_are_pseudonyms_and_the_agreement_is_in_the_store(store, bound):
    opened = open_store(store)
    originals = {row["PatientID"] for row in bound.rows()}
    assert len(opened) == 2
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file() and path.suffix != ".parquet")
    assert not any(name.encode() in written for name in originals)
    assert originals.isdisjoint(opened.samples["patient_id"].to_pylist())
    assert set(opened.samples["license"].to_pylist()) == {NMDID.name}
    attribution = (store / "ATTRIBUTION.md").read_text()
    assert NMDID.name in attribution
    assert NMDID.address in attribution
    assert "no redistribution" in attribution.lower()


def test_original_ids_are_refused_even_with_a_yes(bound, recipe, tmp_path):
    with pytest.raises(LicenseError, match=r"forbids .*publication of decedent IDs"):
        compile_store(
            bound, recipe, tmp_path / "x.zarr", jobs=1, keep_patient_ids=True, accept_licenses=[NMDID.address]
        )
    with pytest.raises(LicenseError, match="leave out --keep-patient-ids"):
        convert_dataset(bound, tmp_path / "out", jobs=1, keep_patient_ids=True, accept_licenses=[NMDID.address])
    assert list(tmp_path.iterdir()) == []


def test_what_a_store_was_made_from_still_binds_what_is_made_of_it(store, tmp_path):
    with pytest.raises(LicenseError, match="NMDID"):
        convert_dataset(store, tmp_path / "out", jobs=1)
    report = convert_dataset(store, tmp_path / "out", jobs=1, accept_licenses=[NMDID.name])
    assert len(report.written) == 2
