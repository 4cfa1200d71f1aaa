"""Mosaics against the volumes that dcm2niix makes of them and against reference images."""

import json
import subprocess

import nibabel
import numpy as np
import pytest

from medimagenet.dicom import read_series
from medimagenet.dicom.mosaic import read_csa


def canonical(image):
    image = nibabel.as_closest_canonical(image)
    return np.asarray(image.dataobj), image.affine


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("place", "reference"),
    [
        ("mosaic/siemens_axasc35", "mosaic/siemens_axasc35_reference/ax_asc_35sl_6.nii"),
        ("transfer_syntax/dcm_qa_ts/1.dcm", "transfer_syntax/dcm_qa_ts/reference/1.nii"),
        ("transfer_syntax/dcm_qa_ts/3.dcm", "transfer_syntax/dcm_qa_ts/reference/1.nii"),  # big endian
        ("transfer_syntax/dcm_qa_ts/4.dcm", "transfer_syntax/dcm_qa_ts/reference/1.nii"),  # RLE
        ("transfer_syntax/dcm_qa_ts/9.dcm", "transfer_syntax/dcm_qa_ts/reference/1.nii"),  # JPEG 2000
    ],
)
def test_mosaics_equal_their_references(realdata, place, reference):
    volume = read_series(realdata / "oddities" / place)
    values, affine = canonical(volume.to_nibabel())
    judged, judged_affine = canonical(nibabel.load(realdata / "oddities" / reference))
    np.testing.assert_array_equal(values, judged)
    np.testing.assert_allclose(affine, judged_affine, atol=1e-4)


@pytest.mark.realdata
def test_a_mosaic_whose_image_header_was_taken_equals_dcm2niix(realdata, require_program, tmp_path):
    folder = realdata / "oddities" / "mosaic" / "siemens_fmri"
    volume = read_series(folder)
    assert volume.array.shape == (2, 50, 80, 80)
    assert volume.metadata["channels"] == {"axis": "AcquisitionNumber", "values": [1, 2]}
    command = [require_program("dcm2niix"), "-o", str(tmp_path), "-f", "judge", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    values, affine = canonical(volume.to_nibabel())
    judged, judged_affine = canonical(nibabel.load(tmp_path / "judge.nii"))
    assert json.loads((tmp_path / "judge.json").read_text())["Manufacturer"] == "Siemens"
    np.testing.assert_array_equal(values, judged[:, :, :50])  # it takes the empty tiles for slices too
    np.testing.assert_allclose(affine, judged_affine, atol=1e-4)


def csa(**values):
    """A CSA header of version 2."""
    raw = b"SV10\4\3\2\1" + len(values).to_bytes(4, "little") + b"M\0\0\0"
    for name, items in values.items():
        head = name.encode().ljust(64, b"\0") + bytes(12) + len(items).to_bytes(4, "little") + bytes(4)
        raw += head
        for item in items:
            text = item.encode()
            raw += bytes(4) + len(text).to_bytes(4, "little") + bytes(8) + text + bytes(-len(text) % 4)
    return raw


def test_the_values_of_a_csa_header():
    raw = csa(NumberOfImagesInMosaic=["35", ""], SliceNormalVector=["0.0", "0.1", "0.99"], Empty=[])
    assert read_csa(raw) == {"NumberOfImagesInMosaic": ["35"], "SliceNormalVector": ["0.0", "0.1", "0.99"]}


@pytest.mark.parametrize("length", [0, 3, 15, 16, 60, 90, 110])
def test_a_csa_header_that_is_cut_off_gives_what_is_there(length):
    raw = csa(NumberOfImagesInMosaic=["35"], SliceNormalVector=["0.0", "0.1", "0.99"])
    assert set(read_csa(raw[:length])) <= {"NumberOfImagesInMosaic"}
    assert read_csa(b"\xff" * length) == {}
