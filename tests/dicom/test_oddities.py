"""The odd files of the real data have exactly the findings that their README lines call for."""

from pathlib import Path

import pytest

from medimagenet.dicom import read_volumes
from medimagenet.errors import DicomError
from medimagenet.sources.folder import Folder

from .oddities import FILES, SERIES


@pytest.fixture(scope="module")
def scanned(realdata):
    return Folder(realdata / "oddities").scan(jobs=1)


@pytest.fixture(scope="module")
def records(scanned, realdata):
    found = {}
    for record in scanned.records:
        if record.Modality is not None and not record.files[0].endswith((".nii", ".nii.gz")):
            found[(Path(record.uri) / min(record.files)).relative_to(realdata / "oddities").as_posix()] = record
    return found


@pytest.mark.realdata
def test_every_series_and_every_file_is_in_the_table(records, scanned, realdata):
    assert sorted(records) == sorted(series.first for series in SERIES)
    odd = {problem.path.relative_to(realdata / "oddities").as_posix(): problem for problem in scanned.problems}
    assert {name: problem.finding.code for name, problem in odd.items()} == FILES


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.first)
def test_findings(records, series):
    record = records[series.first]
    assert (len(record.files), record.Modality) == (series.files, series.modality)
    assert " ".join(finding.code for finding in record.findings) == series.index
    paths = [Path(record.uri) / name for name in record.files]
    if series.refused is not None:
        with pytest.raises(DicomError) as caught:
            read_volumes(paths)
        assert " ".join(finding.code for finding in caught.value.findings) == series.refused
    elif series.volumes is not None:
        volumes = [
            " x ".join(map(str, volume.array.shape)) + ": " + " ".join(finding.code for finding in volume.findings)
            for volume in read_volumes(paths)
        ]
        assert tuple(text.removesuffix(": ") for text in volumes) == series.volumes
