"""Stacks of known geometry, planted defects, and the oddities of real series."""

from dataclasses import replace
from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.dicom.stack import SlicePlane, plane_from_values, stack_slices

PLANE = SlicePlane(
    position=(0.0, 0.0, 0.0), orientation=(1, 0, 0, 0, 1, 0), pixel_spacing=(0.5, 0.75), rows=20, columns=30
)


def planes_at(heights, plane=PLANE, shear=(0.0, 0.0)):
    return [replace(plane, position=(shear[0] * z, shear[1] * z, z)) for z in heights]


def codes(stack):
    return [finding.code for finding in stack.findings]


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(2, 40), st.floats(0.3, 9.0))
def test_an_even_stack_in_any_orientation_and_order_gives_its_grid(seed, n, step):
    random = np.random.default_rng(seed)
    matrix = Rotation.random(rng=random).as_matrix()
    origin = random.uniform(-500, 500, 3)
    places = [origin + k * step * matrix[:, 2] for k in range(n)]
    cosines = tuple(np.r_[matrix[:, 0], matrix[:, 1]].tolist())
    order = random.permutation(n)
    stack = stack_slices([replace(PLANE, position=tuple(places[k]), orientation=cosines) for k in order])
    assert stack.findings == ()
    assert [order[k] for k in stack.order] == list(range(n))
    assert stack.grid.size == (30, 20, n)
    np.testing.assert_allclose(stack.grid.spacing, (0.75, 0.5, step))
    np.testing.assert_allclose(stack.grid.to_patient([0, 0, n - 1]), places[-1], atol=1e-9)
    expected = places[0] + 29 * 0.75 * matrix[:, 0] + 19 * 0.5 * matrix[:, 1]
    np.testing.assert_allclose(stack.grid.to_patient([29, 19, 0]), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("heights", "code", "has_grid"),
    [
        ([0, 3, 6, 9], None, True),
        ([0, 3.02, 6, 9], None, True),  # 0.7 % of a step
        ([0, 3.1, 6, 9], "nonuniform_spacing", True),
        ([0, 3, 6, 12, 15], "missing_slices", False),
        ([0, 5, 15], "missing_slices", False),
        ([0, 3, 6, 10.2, 13.2], "uneven_slices", False),
        ([0, 3, 3, 6], "duplicate_slices", False),
        ([5], "single_slice", True),
    ],
)
def test_steps(heights, code, has_grid):
    stack = stack_slices(planes_at(heights))
    assert codes(stack) == ([code] if code else [])
    assert (stack.grid is not None) == has_grid


def test_missing_slices_are_counted():
    (finding,) = stack_slices(planes_at([0, 2, 4, 10, 12])).findings
    assert finding.numbers["missing"] == 2


@pytest.mark.parametrize("angle", [1.0, 14.0, 30.0])
def test_a_tilted_gantry_is_an_error_with_its_angle(angle):
    slope = sin(radians(angle)) / cos(radians(angle))
    stack = stack_slices(planes_at(range(10), shear=(0.0, slope)))
    assert codes(stack) == ["gantry_tilt"]
    assert stack.findings[0].numbers["angle_degrees"] == pytest.approx(angle)
    assert stack.grid is None


def test_a_slice_that_lies_sideways_is_an_error():
    planes = planes_at(range(9))
    planes[4] = replace(planes[4], position=(0.5, 0.0, 4.0))
    assert codes(stack_slices(planes)) == ["shifted_slices"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rows": 21}, "mixed_size"),
        ({"pixel_spacing": (0.51, 0.75)}, "mixed_spacing"),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, "mixed_orientation"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer_mixed_in"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC")}, "mosaic"),
        ({"position": None}, "no_position"),
        ({"n_frames": 8}, "multi_frame"),
    ],
)
def test_one_slice_of_another_kind_is_an_error(change, code):
    planes = planes_at(range(5))
    planes[2] = replace(planes[2], **change)
    stack = stack_slices(planes)
    assert codes(stack) == [code]
    assert stack.grid is None
    assert sorted(stack.order) == list(range(5))


def test_axes_that_are_not_at_right_angles_are_an_error():
    assert codes(stack_slices(planes_at(range(3), replace(PLANE, orientation=(1, 0, 0, 0.5, 0.8, 0))))) == [
        "skewed_axes"
    ]


def test_no_slices_is_a_wrong_argument():
    with pytest.raises(ValueError, match="at least one slice"):
        stack_slices([])


@settings(max_examples=200)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "ImagePositionPatient": st.lists(st.floats() | st.text(max_size=3), max_size=4),
                "ImageOrientationPatient": st.lists(st.sampled_from(["0", "1", -1.0, 0.5]), min_size=6, max_size=6),
                "PixelSpacing": st.just([1, "1"]) | st.just([0, 1]) | st.text(),
                "NumberOfFrames": st.sampled_from(["1A", "1", 7, None]),
                "Rows": st.integers(0, 3),
                "Columns": st.just(2),
                "ImageType": st.sampled_from(["ORIGINAL\\LOCALIZER", ["A"], None]),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_odd_values_never_raise_and_a_grid_is_there_exactly_without_an_error(headers):
    stack = stack_slices([plane_from_values(values) for values in headers])
    assert (stack.grid is None) == any(finding.severity == "error" for finding in stack.findings)
    assert sorted(stack.order) == list(range(len(headers)))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("sts_raw/STS_001/FDG_PET/image", ["nonuniform_spacing"]),
        ("sts_raw/STS_001/MR_T2/image", []),
        ("cmb_crc/SCAN_001/adc_image", []),
        ("oddities/missing_slice/ge_lightspeed16", ["missing_slices"]),
        ("oddities/gantry_tilt/siemens_4slices", ["gantry_tilt"]),
        ("oddities/gantry_tilt/ge_hispeed_variable_spacing", ["gantry_tilt", "uneven_slices"]),
        ("oddities/localizer_in_series/philips_mr", ["mixed_orientation", "mixed_spacing"]),
        ("oddities/repeated_position/siemens_bolus_monitoring", ["duplicate_slices"]),
        ("oddities/dicomdir/77654033/CT2", ["missing_slices"]),
        ("oddities/mosaic/siemens_fmri", ["mosaic"]),
        ("oddities/enhanced/philips_anatomical", ["multi_frame"]),
        ("breast_mri_nact_pilot/UCSF-BR-06/image_dce_3dfgre_orig", ["duplicate_slices"]),
        ("oddities/philips_ct_study/S21570/S2010", []),
        ("oddities/two_slices/siemens_mr", []),
    ],
)
def test_real_series(realdata, keywords, folder, expected):
    headers = map(keywords, sorted((realdata / folder).iterdir()))
    planes = [plane_from_values(values) for values in headers if "Rows" in values]
    assert codes(stack_slices(planes)) == expected


@pytest.mark.realdata
def test_real_tilts_have_their_angles(realdata, keywords):
    for folder, angle in (("siemens_4slices", 14.0), ("ge_hispeed_variable_spacing", 18.5)):
        files = sorted((realdata / "oddities" / "gantry_tilt" / folder).iterdir())
        stack = stack_slices([plane_from_values(keywords(path)) for path in files])
        assert stack.findings[0].numbers["angle_degrees"] == pytest.approx(angle, abs=0.1)
