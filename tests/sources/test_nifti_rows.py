"""Rows made of names alone, as of a collection that is elsewhere."""

from pydicom.uid import UID

from medimagenet.sources.nifti_names import read_name
from medimagenet.sources.nifti_rows import NiftiCollection, NiftiFile, made_uid, nifti_records

ORIGIN = {"collection_id": "c", "license": "CC0-1.0", "doi": None, "agreement": None}


def remote(path, checksum="md5:00"):
    return NiftiFile(
        name=read_name(path), uri=f"https://x.org/{path}", file=path, size_bytes=3, content=checksum, checksum=checksum
    )


def records(*files, **settings):
    collection = NiftiCollection(source="archive", place="https://x.org", origin=ORIGIN, **settings)
    return list(nifti_records(files, collection))


def test_an_image_and_its_label():
    image, label = records(remote("labelsTr/a.nii.gz"), remote("imagesTr/a_0000.nii.gz"), modality="CT", classes=["x"])
    assert (image.Modality, label.Modality) == ("CT", "SEG")
    assert label.referenced_series == (image.SeriesInstanceUID,)
    assert image.StudyInstanceUID == image.FrameOfReferenceUID == label.StudyInstanceUID
    assert image.PatientID == label.PatientID == "a"
    assert (image.roi_names, label.roi_names) == ((), ("x",))
    assert (image.checksums, image.license, image.shape) == (("md5:00",), "CC0-1.0", None)


def test_keys_name_the_content_and_uids_the_place():
    (one,), (other,) = records(remote("a.nii.gz")), records(remote("a.nii.gz", "md5:01"))
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.key != other.key
    (elsewhere,) = records(remote("b/a.nii.gz"))
    assert elsewhere.SeriesInstanceUID != one.SeriesInstanceUID


def test_made_uids_are_uids():
    uids = {made_uid("place", number) for number in range(1000)}
    assert len(uids) == 1000
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)


def test_labels_of_one_folder_that_name_their_regions_are_one_row():
    def local(name):
        path = f"P1/{name}"
        return NiftiFile(name=read_name(path), uri="/d/P1", file=name, size_bytes=3, content=name)

    image, labels = records(local("mask_liver.nii.gz"), local("ct.nii.gz"), local("mask_spleen.nii.gz"), classes=["x"])
    assert (image.Modality, image.PatientID, labels.PatientID) == ("CT", "P1", "P1")
    assert (labels.files, labels.roi_names) == (("mask_liver.nii.gz", "mask_spleen.nii.gz"), ("liver", "spleen"))
    assert (labels.size_bytes, labels.n_instances, labels.referenced_series) == (6, 2, (image.SeriesInstanceUID,))
    (_, fewer) = records(local("mask_liver.nii.gz"), local("ct.nii.gz"))
    assert fewer.content_hash != labels.content_hash
    far = records(remote("P1/mask_liver.nii.gz"), remote("P1/ct.nii.gz"), remote("P1/mask_spleen.nii.gz"))
    assert sorted(row.roi_names for row in far) == [(), ("liver",), ("spleen",)]  # each at an address of its own
