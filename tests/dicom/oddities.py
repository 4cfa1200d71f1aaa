"""Every series and every odd file below `oddities` of the real data, with the findings that its README line calls for.

One table for all that reports or tests robustness: what the index says of each series, and what decoding gives: the
volumes with their findings, or the findings with which it is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """One series, as the index has it."""

    first: str
    """Its first file by name, below the folder `oddities`."""
    files: int
    modality: str
    index: str = ""
    """Codes of the findings of its row."""
    volumes: tuple[str, ...] | None = None
    """Of each volume that `read_volumes` gives: shape and codes of findings; None where it gives none."""
    refused: str | None = None
    """Codes of the findings with which it is refused; None where it decodes, or is no image."""


SERIES = (
    Series("anisotropic_pixels/pmod/001.dcm", 4, "MR", volumes=("4 x 28 x 64: mixed_rescale",)),
    Series("broken/ExplVR_BigEndNoMeta.dcm", 1, "RTPLAN"),
    Series("broken/ExplVR_LitEndNoMeta.dcm", 1, "RTPLAN"),
    Series("broken/badVR.dcm", 1, "RTDOSE"),
    Series("charset/chrArab.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrFren.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrGerm.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrGreek.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrH31.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrI2.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrRuss.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrX1.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("charset/chrX2.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("constructed/duplicate_files/STS_025_PET/000000.dcm", 47, "PT", "duplicate_file", volumes=("47 x 34 x 37",)),
    Series(
        "constructed/duplicate_files/STS_025_PET/resent/000030.dcm",
        1,
        "PT",
        "single_slice",
        volumes=("1 x 34 x 37: single_slice",),
    ),
    Series("constructed/flat_dump/IM00001", 47, "PT", volumes=("47 x 28 x 28",)),
    Series("constructed/flat_dump/IM00004", 47, "MR", volumes=("47 x 110 x 112",)),
    Series("constructed/flat_dump/IM00007", 47, "CT", volumes=("47 x 134 x 136",)),
    Series("constructed/flat_dump/IM00018", 1, "RTSTRUCT"),
    Series("constructed/flat_dump/IM00094", 1, "RTSTRUCT"),
    Series("constructed/flat_dump/IM00127", 1, "RTSTRUCT"),
    Series("constructed/missing_slices/STS_025_CT/000000.dcm", 43, "CT", "missing_slices", refused="missing_slices"),
    Series("dicomdir/77654033/CR1/6154", 1, "CR", "no_image_geometry", refused="no_position"),
    Series("dicomdir/77654033/CR2/6247", 1, "CR", "no_image_geometry", refused="no_position"),
    Series("dicomdir/77654033/CR3/6278", 1, "CR", "no_image_geometry", refused="no_position"),
    Series("dicomdir/77654033/CT2/17106", 4, "CT", "missing_slices", refused="missing_slices"),
    Series(
        "dicomdir/98892001/CT2N/6293",
        2,
        "CT",
        "mixed_orientation several_volumes",
        volumes=(
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
        ),
    ),
    Series("dicomdir/98892001/CT5N/2062", 5, "CT", volumes=("5 x 16 x 16",)),
    Series("dicomdir/98892003/MR1/15820", 1, "MR", "single_slice", volumes=("1 x 16 x 16: single_slice",)),
    Series("dicomdir/98892003/MR1/4919", 1, "MR", "single_slice", volumes=("1 x 16 x 16: single_slice",)),
    Series("dicomdir/98892003/MR1/5641", 1, "MR", "single_slice", volumes=("1 x 16 x 16: single_slice",)),
    Series("dicomdir/98892003/MR2/15970", 1, "MR", "single_slice", volumes=("1 x 16 x 16: single_slice",)),
    Series(
        "dicomdir/98892003/MR2/4950",
        3,
        "MR",
        "mixed_orientation several_volumes",
        volumes=(
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
        ),
    ),
    Series(
        "dicomdir/98892003/MR2/6273",
        3,
        "MR",
        "mixed_orientation several_volumes",
        volumes=(
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
        ),
    ),
    Series(
        "dicomdir/98892003/MR700/4467",
        7,
        "MR",
        "mixed_orientation several_volumes",
        volumes=(
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
            "1 x 16 x 16: single_slice",
        ),
    ),
    Series(
        "dicomdir/TINY_ALPHA/PT000000/ST000000/SE000000/IM000000",
        50,
        "CT",
        "no_position no_pixel_data",
        refused="no_pixel_data",
    ),
    Series("enhanced/hyperfine/001.dcm", 1, "MR", volumes=("8 x 138 x 112",)),
    Series("enhanced/philips_anatomical/IM-0001-0170-0001.dcm", 1, "MR", volumes=("8 x 256 x 256",)),
    Series(
        "enhanced/philips_dti/IM-0001-3835-0001.dcm",
        1,
        "MR",
        "several_channels",
        volumes=("4 x 8 x 128 x 128: several_channels",),
    ),
    Series("enhanced/pydicom/eCT_Supplemental.dcm", 1, "CT", volumes=("2 x 512 x 512: rescale_not_hu",)),
    Series("enhanced/pydicom/emri_small.dcm", 1, "MR", "multi_frame", refused="multi_frame"),
    Series("enhanced/pydicom/emri_small_RLE.dcm", 1, "MR", "multi_frame", refused="multi_frame"),
    Series("enhanced/pydicom/emri_small_big_endian.dcm", 1, "MR", "multi_frame", refused="multi_frame"),
    Series("enhanced/siemens_anatomical/IM-0001-0001-0001.dcm", 1, "MR", volumes=("8 x 256 x 256",)),
    Series(
        "enhanced/siemens_xa10_fmri/6_1.dcm",
        4,
        "MR",
        "several_channels",
        volumes=("4 x 6 x 64 x 64: several_channels",),
    ),
    Series(
        "gantry_tilt/ge_hispeed_variable_spacing/01.dcm",
        28,
        "CT",
        "gantry_tilt uneven_slices",
        refused="gantry_tilt uneven_slices",
    ),
    Series("gantry_tilt/siemens_4slices/IM-0001-0001.dcm", 4, "CT", "gantry_tilt", refused="gantry_tilt"),
    Series(
        "localizer_in_series/philips_mr/IM-0001-0001-0001 2.dcm",
        4,
        "MR",
        "mixed_orientation mixed_spacing several_volumes",
        volumes=(
            "2 x 288 x 288",
            "2 x 288 x 288",
        ),
    ),
    Series("missing_slice/ge_lightspeed16/IM-0001-0007-0001.dcm", 4, "CT", "missing_slices", refused="missing_slices"),
    Series(
        "mosaic/siemens_axasc35/MR.1.3.12.2.1107.5.2.32.35131.2014031012493950715786673",
        2,
        "MR",
        "several_channels",
        volumes=("2 x 35 x 64 x 64: several_channels",),
    ),
    Series(
        "mosaic/siemens_fmri/IM-0001-0001.dcm",
        2,
        "MR",
        "several_channels",
        volumes=("2 x 50 x 80 x 80: several_channels",),
    ),
    Series("multi_volume/ge_dti/001", 16, "MR", "several_channels", volumes=("4 x 4 x 64 x 64: several_channels",)),
    Series("multi_volume/hitachi_anatomical/001.dcm", 4, "MR", volumes=("4 x 64 x 64",)),
    Series(
        "multi_volume/philips_fmri/IM-0001-0050-0001.dcm",
        8,
        "MR",
        "several_channels",
        volumes=("4 x 2 x 80 x 80: several_channels",),
    ),
    Series("non_volume/examples_palette.dcm", 1, "US", "no_image_geometry not_monochrome", refused="not_monochrome"),
    Series("non_volume/examples_rgb_color.dcm", 1, "US", "no_image_geometry not_monochrome", refused="not_monochrome"),
    Series(
        "non_volume/examples_ybr_color.dcm",
        1,
        "US",
        "no_image_geometry not_monochrome lossy_compressed",
        refused="not_monochrome",
    ),
    Series("non_volume/parametric_map_float.dcm", 1, "OT", "no_image_geometry", refused="no_pixel_data"),
    Series("non_volume/reportsi.dcm", 1, "SR"),
    Series("non_volume/test-SR.dcm", 1, "SR"),
    Series("non_volume/waveform_ecg.dcm", 1, "ECG"),
    Series("philips_ct_study/S21570/S1000/I10", 1, "CT", "single_slice", volumes=("1 x 256 x 512: single_slice",)),
    Series("philips_ct_study/S21570/S2010/I100", 10, "CT", volumes=("10 x 512 x 512",)),
    Series("philips_ct_study/S21570/S4010/I10", 6, "CT", "no_position not_monochrome", refused="not_monochrome"),
    Series(
        "repeated_position/siemens_bolus_monitoring/001.dcm",
        4,
        "CT",
        "single_slice several_channels",
        volumes=("4 x 1 x 512 x 512: single_slice several_channels",),
    ),
    Series("rgb_secondary_capture/IM-0001-0001-0001.dcm", 4, "MR", "not_monochrome", refused="not_monochrome"),
    Series("transfer_syntax/dcm_qa_ts/1.dcm", 1, "MR", volumes=("35 x 64 x 64",)),
    Series("transfer_syntax/dcm_qa_ts/2.dcm", 1, "MR", volumes=("35 x 64 x 64",)),
    Series("transfer_syntax/dcm_qa_ts/3.dcm", 1, "MR", volumes=("35 x 64 x 64",)),
    Series("transfer_syntax/dcm_qa_ts/4.dcm", 1, "MR", volumes=("35 x 64 x 64",)),
    Series(
        "transfer_syntax/dcm_qa_ts/5.dcm",
        2,
        "MR",
        "duplicate_slices several_volumes",
        volumes=(
            "35 x 64 x 64",
            "35 x 64 x 64",
        ),
    ),
    Series(
        "transfer_syntax/dcm_qa_ts/7.dcm",
        2,
        "MR",
        "duplicate_slices several_volumes",
        volumes=(
            "35 x 64 x 64",
            "35 x 64 x 64",
        ),
    ),
    Series("transfer_syntax/dcm_qa_ts/9.dcm", 1, "MR", volumes=("35 x 64 x 64",)),
    Series("transfer_syntax/dicom2nifti_generic/jpeg2000/IM-0001-0001-0001.dcm", 4, "MR", volumes=("4 x 256 x 256",)),
    Series("transfer_syntax/dicom2nifti_generic/jpegls/IM-0001-0001-0001.dcm", 4, "MR", volumes=("4 x 256 x 256",)),
    Series("transfer_syntax/dicom2nifti_generic/rle/IM-0001-0001-0001.dcm", 4, "MR", volumes=("4 x 256 x 256",)),
    Series(
        "transfer_syntax/dicom2nifti_generic/uncompressed/IM-0001-0001-0001.dcm", 4, "MR", volumes=("4 x 256 x 256",)
    ),
    Series("transfer_syntax/pydicom/CT_small.dcm", 1, "CT", "single_slice", volumes=("1 x 128 x 128: single_slice",)),
    Series(
        "transfer_syntax/pydicom/ExplVR_BigEnd.dcm",
        1,
        "US",
        "no_image_geometry not_monochrome",
        refused="not_monochrome",
    ),
    Series(
        "transfer_syntax/pydicom/JPEG2000.dcm", 1, "NM", "no_image_geometry lossy_compressed", refused="no_position"
    ),
    Series(
        "transfer_syntax/pydicom/JPGExtended.dcm", 1, "NM", "no_image_geometry lossy_compressed", refused="no_position"
    ),
    Series("transfer_syntax/pydicom/MR_small.dcm", 1, "MR", "single_slice", volumes=("1 x 64 x 64: single_slice",)),
    Series("transfer_syntax/pydicom/MR_small_RLE.dcm", 1, "MR", "single_slice", volumes=("1 x 64 x 64: single_slice",)),
    Series(
        "transfer_syntax/pydicom/MR_small_bigendian.dcm",
        1,
        "MR",
        "single_slice",
        volumes=("1 x 64 x 64: single_slice",),
    ),
    Series(
        "transfer_syntax/pydicom/MR_small_expb.dcm", 1, "MR", "single_slice", volumes=("1 x 64 x 64: single_slice",)
    ),
    Series(
        "transfer_syntax/pydicom/MR_small_implicit.dcm", 1, "MR", "single_slice", volumes=("1 x 64 x 64: single_slice",)
    ),
    Series(
        "transfer_syntax/pydicom/MR_small_jp2klossless.dcm",
        1,
        "MR",
        "single_slice",
        volumes=("1 x 64 x 64: single_slice",),
    ),
    Series(
        "transfer_syntax/pydicom/MR_small_jpeg_ls_lossless.dcm",
        1,
        "MR",
        "single_slice",
        volumes=("1 x 64 x 64: single_slice",),
    ),
    Series(
        "transfer_syntax/pydicom/MR_small_padded.dcm",
        1,
        "MR",
        "single_slice",
        volumes=("1 x 64 x 64: single_slice pixel_data_too_long",),
    ),
    Series("transfer_syntax/pydicom/image_dfl.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("transfer_syntax/pydicom_data/JPEG-LL.dcm", 1, "NM", "no_image_geometry", refused="no_position"),
    Series(
        "transfer_syntax/pydicom_data/explicit_VR-UN.dcm",
        1,
        "CT",
        "single_slice",
        volumes=("1 x 512 x 512: single_slice",),
    ),
    Series("transfer_syntax/pydicom_data/mlut_18.dcm", 1, "OT", "no_image_geometry", refused="no_position"),
    Series("two_slices/siemens_mr/IM-0001-0001-0001.dcm", 2, "MR", volumes=("2 x 256 x 256",)),
)

FILES: Mapping[str, str] = {
    "broken/MR_truncated.dcm": "truncated_file",
    "broken/UN_sequence.dcm": "no_series_uid",
    "broken/empty_charset_LEI.dcm": "no_series_uid",
    "broken/meta_missing_tsyntax.dcm": "no_series_uid",
    "broken/no_meta.dcm": "not_dicom",
    "broken/no_meta_group_length.dcm": "no_series_uid",
    "broken/priv_SQ.dcm": "no_series_uid",
    "broken/rtplan_truncated.dcm": "truncated_file",
    "broken/zipMR.gz": "not_dicom",
    "constructed/duplicate_files/STS_025_PET/000010 (1).dcm": "duplicate_file",
    "constructed/duplicate_files/STS_025_PET/copy_of_000020.dcm": "duplicate_file",
    "constructed/flat_dump/empty.dcm": "not_dicom",
    "constructed/flat_dump/notes.txt": "not_dicom",
    "constructed/flat_dump/text_named.dcm": "not_dicom",
    "constructed/flat_dump/truncated_header.dcm": "truncated_file",
    "constructed/flat_dump/truncated_pixels.dcm": "truncated_file",
    "dicomdir/DICOMDIR": "dicomdir",
    "dicomdir/DICOMDIR-bigEnd": "dicomdir",
    "dicomdir/DICOMDIR-empty.dcm": "dicomdir",
    "dicomdir/DICOMDIR-implicit": "dicomdir",
    "dicomdir/DICOMDIR-nooffset": "dicomdir",
    "dicomdir/README.txt": "not_dicom",
    "dicomdir/TINY_ALPHA/DICOMDIR": "dicomdir",
    "enhanced/siemens_xa10_fmri_reference/Siemens_REST1_w_SMS_PF7-8_6.json": "not_dicom",
    "mosaic/siemens_axasc35_reference/ax_asc_35sl_6.json": "not_dicom",
    "philips_ct_study/DICOMDIR": "dicomdir",
    "philips_ct_study/S21570/DIRFILE": "dicomdir",
    "philips_ct_study/S21570/S1000/DIRFILE": "dicomdir",
    "philips_ct_study/S21570/S2010/DIRFILE": "dicomdir",
    "philips_ct_study/S21570/S4010/DIRFILE": "dicomdir",
    "transfer_syntax/dcm_qa_ts/reference/1.json": "not_dicom",
    "transfer_syntax/pydicom/JPEGLSNearLossless_16.dcm": "no_series_uid",
    "transfer_syntax/pydicom_data/HTJ2KLossless_08_RGB.dcm": "no_series_uid",
    "transfer_syntax/pydicom_data/HTJ2K_08_RGB.dcm": "no_series_uid",
}
"""Files that are in no series -> code of the finding that says why."""
