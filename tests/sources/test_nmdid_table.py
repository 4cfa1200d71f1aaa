"""Exported tables: which column names the cases is found, not assumed."""

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.nmdid_table import age_of, is_table, read_table, sex_of


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
@pytest.mark.parametrize("case", ["100010", "case-100010", "100010.0"])
def test_values_by_case(tmp_path, suffix, separator, case):
    path = tmp_path / f"export{suffix}"
    rows = [
        ["zip", "Case ID", "Sex", "Age at death", "Note"],
        ["871060", case, "Female", "45.5", ""],
        ["1", "", "", ""],
    ]
    path.write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8-sig")
    table = read_table(path)
    assert table == {"100010": {"zip": "871060", "Case ID": case, "Sex": "Female", "Age at death": "45.5"}}
    assert (sex_of(table["100010"]), age_of(table["100010"])) == ("F", "045Y")


def test_what_is_not_told_is_not_guessed():
    assert (sex_of({"Sex": "unknown"}), age_of({"Age": "unknown"}), age_of({"Cage": "4"})) == (None, None, None)


def test_a_table_of_something_else(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    assert read_table(path) is None
    path.write_text("")
    assert read_table(path) is None


def test_rows_that_contradict_each_other(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("case,Sex\n100010,M\n100010,F\n")
    with pytest.raises(SourceError, match="two rows of one case") as caught:
        read_table(path)
    assert "100010" not in str(caught.value)
    path.write_text("case,Sex\n100010,M\n100010,M\n")
    assert len(read_table(path)) == 1


def test_files_that_cannot_be_read(tmp_path):
    workbook = tmp_path / "x.xlsx"
    workbook.write_bytes(b"PK")
    assert is_table(workbook)
    with pytest.raises(SourceError, match="save its sheet as CSV"):
        read_table(workbook)
    (tmp_path / "x.csv").write_bytes(b"case\n\xff\xfe")
    with pytest.raises(SourceError, match="UTF-8"):
        read_table(tmp_path / "x.csv")
