"""Directories of media against what walking their folders finds, and against pydicom's own FileSet."""

import shutil

import pydicom
import pytest
from pydicom.fileset import FileSet

from medimagenet.dicom import read_series
from medimagenet.dicom.dicomdir import is_dicomdir, media_files
from medimagenet.errors import DicomError


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_files_are_those_of_the_records(realdata, name):
    folder = (realdata / "oddities" / "dicomdir").resolve()  # pydicom follows links, we leave names as they are
    listed = media_files(folder / name)
    judge = {str(path) for path in (record.path for record in FileSet(pydicom.dcmread(folder / "DICOMDIR")))}
    assert {str(path) for path in listed.files} == judge
    assert (len(listed.files), listed.missing) == (31, ())


@pytest.mark.realdata
def test_nested_directories_and_what_is_missing(realdata):
    folder = realdata / "oddities" / "philips_ct_study"
    listed = media_files(folder / "DICOMDIR")
    images = [p for p in folder.rglob("I*") if p.is_file()]
    assert set(listed.files) == set(images)
    assert "S21610/DIRFILE" in listed.missing
    assert len([name for name in listed.missing if "S2010" in name]) == 18  # ten of 28 were kept


@pytest.mark.realdata
def test_an_empty_directory_and_no_directory(realdata):
    folder = realdata / "oddities" / "dicomdir"
    assert media_files(folder / "DICOMDIR-empty.dcm").files == ()
    with pytest.raises(DicomError, match="names no files"):
        read_series(folder / "DICOMDIR-empty.dcm")
    with pytest.raises(DicomError, match=r"README.txt is not a DICOMDIR"):
        media_files(folder / "README.txt")
    assert not is_dicomdir(folder / "README.txt")
    with pytest.raises(DicomError, match="31 files belong to"):
        read_series(folder / "DICOMDIR")


@pytest.mark.parametrize("rename", [str.upper, str.lower, lambda name: f"{name.lower()};1", lambda name: f"{name}.dcm"])
def test_names_as_file_systems_show_them(write_series, tmp_path, rename):
    import numpy as np

    folder = write_series(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    medium = tmp_path / "medium"
    (medium / "IMAGES").mkdir(parents=True)
    directory = pydicom.Dataset()
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    records = []
    for k, path in enumerate(sorted(folder.iterdir())):
        shutil.copy(path, medium / "IMAGES" / rename(f"IM{k}"))
        record = pydicom.Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["IMAGES", f"IM{k}"]
        records.append(record)
    outside = pydicom.Dataset()
    outside.DirectoryRecordType, outside.ReferencedFileID = "IMAGE", ["..", "series", "000.dcm"]
    directory.SOPClassUID, directory.DirectoryRecordSequence = "1.2.840.10008.1.3.10", records
    directory.save_as(medium / "DICOMDIR", enforce_file_format=True)
    assert read_series(medium / "DICOMDIR").array.shape == (2, 3, 4)
    directory.DirectoryRecordSequence = [*records, outside]
    directory.save_as(medium / "DICOMDIR", enforce_file_format=True)
    assert media_files(medium / "DICOMDIR").missing == ("../series/000.dcm",)
    with pytest.raises(DicomError, match="names 1 files that are not there"):
        read_series(medium / "DICOMDIR")
