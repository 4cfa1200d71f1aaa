"""Comparison of two versions, against the rows that were changed by hand."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.idc_changes import changed_series, compare_versions
from medimagenet.sources.idc_versions import IdcVersion


@pytest.fixture
def version(idc_release, tmp_path):
    def make(name, table):
        idc_release.write_tables(tmp_path / name, {"idc_index": table}, name)
        files = {"idc_index": tmp_path / name / "idc_index.parquet"}
        return IdcVersion(version=name, installed=False, files=files, checksums={})

    return make


def revised(table, count):
    """The first rows with another content."""
    column = table.schema.get_field_index("crdc_series_uuid")
    uuids = table.column(column).to_pylist()
    uuids[:count] = [f"other-{uuid}" for uuid in uuids[:count]]
    return table.set_column(column, "crdc_series_uuid", pa.array(uuids, table.schema.field(column).type))


def test_new_revised_and_withdrawn(idc_tables, version):
    table = idc_tables["idc_index"]
    of = {
        name: table.filter(pc.equal(table["collection_id"], name))
        for name in ("lctsc", "soft_tissue_sarcoma", "rider_lung_ct")
    }
    earlier = version("24.0.0", pa.concat_tables([of["soft_tissue_sarcoma"], of["lctsc"].slice(0, 100)]))
    later = version("25.0.0", pa.concat_tables([revised(of["lctsc"], 7).slice(2), of["rider_lung_ct"]]))
    changes = compare_versions(earlier, later)
    counted = {
        item.collection_id: (item.change, item.new, item.revised, item.withdrawn) for item in changes.collections
    }
    sarcoma, rider = len(of["soft_tissue_sarcoma"]), len(of["rider_lung_ct"])
    assert counted == {
        "lctsc": ("changed", 20, 5, 2),
        "rider_lung_ct": ("new", rider, 0, 0),
        "soft_tissue_sarcoma": ("withdrawn", 0, 0, sarcoma),
    }
    assert (changes.new, changes.revised, changes.withdrawn) == (20 + rider, 5, 2 + sarcoma)
    lung = of["lctsc"].to_pylist()
    bytes_of = [round(row["series_size_MB"] * 1e6) for row in lung]
    assert next(item.size_bytes for item in changes.collections) == sum(bytes_of[2:7]) + sum(bytes_of[100:])
    rows = changed_series(earlier, later).to_pylist()
    assert len(rows) == changes.new + changes.revised + changes.withdrawn
    again = [row for row in rows if row["change"] == "revised"]
    assert {row["SeriesInstanceUID"] for row in again} == {row["SeriesInstanceUID"] for row in lung[2:7]}
    assert all(row["crdc_series_uuid"] == f"other-{row['earlier_crdc_series_uuid']}" for row in again)


def test_the_same_twice(idc_tables, version):
    table = idc_tables["idc_index"]
    changes = compare_versions(version("24.0.0", table), version("25.0.0", table))
    assert (changes.new, changes.revised, changes.withdrawn, changes.collections) == (0, 0, 0, ())


def test_a_file_that_is_cut(idc_tables, version):
    one = version("24.0.0", idc_tables["idc_index"])
    two = version("25.0.0", idc_tables["idc_index"])
    two.files["idc_index"].write_bytes(two.files["idc_index"].read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"versions 24\.0\.0 and 25\.0\.0 cannot be compared"):
        compare_versions(one, two)
