"""What decoding finds in real series of several volumes, and that the index says the same."""

import nibabel
import numpy as np
import pytest

from medimagenet.dicom import read_series, read_volumes
from medimagenet.dicom.layout import read_layout
from medimagenet.errors import GeometryError
from medimagenet.sources.folder import Folder


def codes(findings):
    return [finding.code for finding in findings]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("place", "shape", "axis"),
    [
        ("breast_mri_nact_pilot/UCSF-BR-06/image_dce_3dfgre_orig", (3, 60, 256, 256), "ContentTime"),
        ("oddities/multi_volume/ge_dti", (4, 4, 64, 64), "InstanceNumber"),
        ("oddities/multi_volume/philips_fmri", (4, 2, 80, 80), "InstanceNumber"),
        ("oddities/repeated_position/siemens_bolus_monitoring", (4, 1, 512, 512), "AcquisitionNumber"),
        ("oddities/enhanced/siemens_xa10_fmri", (4, 6, 64, 64), "TemporalPositionIdentifier"),
    ],
)
def test_channels_of_real_series(realdata, place, shape, axis):
    volume = read_series(realdata / place)
    assert (volume.array.shape, volume.metadata["channels"]["axis"]) == (shape, axis)
    (record,) = [record for record in Folder(realdata / place).series() if record.Modality in ("CT", "MR")]
    assert (record.shape, record.spacing_mm) == (volume.grid.shape, volume.grid.spacing)
    assert codes(record.findings) == codes(volume.findings)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["ge_dti", "philips_fmri", "hitachi_anatomical"])
def test_channels_are_in_the_order_of_their_references(realdata, name):
    place = realdata / "oddities" / "multi_volume"
    ours = nibabel.as_closest_canonical(read_series(place / name).to_nibabel())
    judge = nibabel.as_closest_canonical(nibabel.load(place / f"{name}_ground_truth.nii.gz"))
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(judge.dataobj))
    np.testing.assert_allclose(ours.affine, judge.affine, atol=5e-4)


@pytest.mark.realdata
def test_phases_equal_a_series_of_one_phase(realdata, tmp_path):
    folder = realdata / "breast_mri_nact_pilot" / "UCSF-BR-06" / "image_dce_3dfgre_orig"
    volume = read_series(folder)
    layout = read_layout(sorted(folder.iterdir()))
    for phase, (array, time) in enumerate(zip(volume.array, ("102551", "103238", "103832"), strict=True)):
        numbers = range(60 * phase + 1, 60 * phase + 61)  # of instances, as the data set's own description says
        files = [f.header.path for f in layout.frames if int(f.header.values["InstanceNumber"]) in numbers]
        alone = read_series(files)
        np.testing.assert_array_equal(alone.array, array)
        assert volume.metadata["channels"]["values"][phase] == time
    assert alone.findings == ()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("place", "sizes"),
    [
        ("oddities/localizer_in_series/philips_mr", [(288, 288, 2), (288, 288, 2)]),
        ("oddities/dicomdir/98892001/CT2N", [(16, 16, 1), (16, 16, 1)]),
        ("oddities/dicomdir/98892003/MR700", [(16, 16, 1)] * 7),
    ],
)
def test_series_of_several_volumes(realdata, place, sizes):
    with pytest.raises(GeometryError, match="read_volumes") as caught:
        read_series(realdata / place)
    volumes = read_volumes(realdata / place)
    assert [volume.grid.size for volume in volumes] == sizes
    assert [volume.metadata["volume"] for volume in volumes] == list(range(len(sizes)))
    (record,) = Folder(realdata / place).series()
    assert record.shape is None
    assert codes(record.findings) == codes(caught.value.findings)
    assert record.findings[-1].code == "several_volumes"
    assert [tuple(row["size"]) for row in record.findings[-1].numbers["volumes"]] == sizes
