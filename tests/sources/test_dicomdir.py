"""A DICOMDIR as a source: the rows of the folder it lists, and what it names in vain."""

import pytest

from medimagenet.errors import SourceError
from medimagenet.index.build import index_source
from medimagenet.sources.dicomdir import DicomDir
from medimagenet.sources.folder import Folder


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rows_are_those_of_the_folder(realdata):
    folder = realdata / "oddities" / "dicomdir"
    walked = {record.key: record for record in Folder(folder).series() if "TINY_ALPHA" not in record.uri}
    listed = {record.key: record for record in DicomDir(folder / "DICOMDIR").series()}
    assert listed == walked


@pytest.mark.realdata
def test_the_index_of_a_dicomdir_tells_what_is_missing(realdata):
    index = index_source(str(realdata / "oddities" / "philips_ct_study" / "DICOMDIR"), collection_id="c")
    assert {row["collection_id"] for row in index.rows()} == {"c"}
    assert sum(row["n_instances"] for row in index.rows()) == 17
    assert all(problem["code"] == "unreadable_file" for problem in index.problems)
    assert any("not there" in problem["message"] for problem in index.problems)


def test_what_is_no_dicomdir(tmp_path):
    (tmp_path / "notes.txt").write_text("x" * 300)
    with pytest.raises(SourceError, match=r"notes.txt is not a DICOMDIR: give a folder, or a DICOMDIR"):
        index_source(str(tmp_path / "notes.txt"))
    with pytest.raises(SourceError, match="no DICOMDIR at"):
        DicomDir(tmp_path / "DICOMDIR")
