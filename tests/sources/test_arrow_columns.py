"""Arrays of plain values: pyarrow's own conversion is the judge."""

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.index.schema import SCHEMA
from medimagenet.sources.arrow_columns import arrow_array, arrow_table

PAIR = pa.struct([("name", pa.string()), ("count", pa.int32())])
KINDS = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    pa.binary(): st.binary(max_size=5),
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    PAIR: st.fixed_dictionaries({"name": st.none() | st.text("ab"), "count": st.none() | st.integers(0, 9)}),
}


@given(st.data(), st.sampled_from(list(KINDS)), st.booleans())
def test_what_pyarrow_makes_of_it(data, kind, in_lists):
    one = st.none() | KINDS[kind]
    values = data.draw(st.lists(st.none() | st.lists(one, max_size=3) if in_lists else one, max_size=12))
    kind = pa.list_(kind) if in_lists else kind
    found = arrow_array(values, kind)
    found.validate(full=True)
    assert found.to_pylist() == values
    assert found.equals(pa.array(values, kind))


def test_no_rows():
    assert arrow_table({name: [] for name in SCHEMA.names}, SCHEMA).equals(SCHEMA.empty_table())


def test_a_type_that_no_table_of_ours_has():
    with pytest.raises(TypeError, match="no column of type date32"):
        arrow_array([1], pa.date32())


def test_an_index_is_made_and_written_without_pandas(tmp_path, write_slice):
    """Whether or not pandas is installed: an import of it is refused, and noted."""
    pytest.importorskip("pandas")
    write_slice(tmp_path / "in" / "0", "1.3.0")
    program = """
import sys
from medimagenet import index_directory
index_directory(sys.argv[1]).write(sys.argv[2])
print("pandas" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "in"), str(tmp_path / "x.parquet")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["False"]
