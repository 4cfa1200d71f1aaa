"""Series of several volumes that are made of volumes: the truth is what was put together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.dicom.split import split_slices
from medimagenet.dicom.stack import SlicePlane

PLANE = SlicePlane(
    position=(0.0, 0.0, 0.0), orientation=(1, 0, 0, 0, 1, 0), pixel_spacing=(0.5, 0.75), rows=20, columns=30
)


def stack_of(n, plane=PLANE, start=0.0):
    return [replace(plane, position=(0.0, 0.0, start + 3.0 * k)) for k in range(n)]


def split(slices):
    """Of (plane, values), in any order."""
    return split_slices([plane for plane, _ in slices], lambda k: slices[k][1])


def codes(findings):
    return [finding.code for finding in findings]


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.lists(st.integers(0, 99), min_size=2, max_size=4, unique=True),
    st.sampled_from(["EchoTime", "DiffusionBValue", "TriggerTime", "ContentTime", "AcquisitionNumber"]),
    st.randoms(use_true_random=False),
)
def test_what_differs_at_every_place_is_the_channel(n, labels, keyword, random):
    slices = [(plane, {keyword: label}) for label in labels for plane in stack_of(n)]
    random.shuffle(slices)
    result = split(slices)
    (part,) = result.parts
    assert (part.axis, part.values) == (keyword, tuple(sorted(labels)))
    assert part.grid.size == (30, 20, n)
    assert "several_channels" in codes(result.findings)
    for channel, label in zip(part.channels, sorted(labels), strict=True):
        assert [slices[k][1][keyword] for k in channel] == [label] * n
        assert [slices[k][0].position[2] for k in channel] == [3.0 * k for k in range(n)]


def test_two_keywords_together_are_the_channel():
    values = [{"EchoTime": echo, "ImageType": kind} for echo in (5, 9) for kind in (("P", "M"), ("P", "P"))]
    (part,) = split([(plane, value) for value in values for plane in stack_of(3)]).parts
    assert part.axis == "EchoTime, ImageType"
    assert part.values == ([5, ["P", "M"]], [5, ["P", "P"]], [9, ["P", "M"]], [9, ["P", "P"]])


def test_a_direction_is_told_with_its_b_value():
    rows = [(0, None), (1000, (1, 0, 0)), (1000, (0, 1, 0))]
    values = [{"DiffusionBValue": b} | ({"DiffusionGradientOrientation": d} if d else {}) for b, d in rows]
    (part,) = split([(plane, value) for value in values for plane in stack_of(3)]).parts
    assert part.axis == "DiffusionBValue, DiffusionGradientOrientation"
    assert part.values == ([0, None], [1000, [0, 1, 0]], [1000, [1, 0, 0]])


@pytest.mark.parametrize("is_by_place", [False, True])
def test_instance_numbers_tell_by_their_order(is_by_place):
    slices = []
    for volume in range(3):
        for k, plane in enumerate(stack_of(4)):
            slices.append((plane, {"InstanceNumber": 3 * k + volume if is_by_place else 4 * volume + k}))
    (part,) = split(slices).parts
    assert part.axis == "InstanceNumber"
    assert [[k // 4 for k in channel] for channel in part.channels] == [[0] * 4, [1] * 4, [2] * 4]


def test_an_order_with_one_exception_tells_nothing():
    numbers = [0, 1, 2, 4, 3, 5, 6, 7]  # the last of the first volume after the first of the second
    slices = [(plane, {"InstanceNumber": n}) for n, plane in zip(numbers, [*stack_of(4), *stack_of(4)], strict=True)]
    slices[3], slices[4] = (slices[3][0], {"InstanceNumber": 6}), (slices[4][0], {"InstanceNumber": 3})
    assert codes(split(slices).findings) == ["duplicate_slices"]


def test_one_slice_too_many_is_no_channel():
    slices = [(plane, {"EchoTime": echo}) for echo in (5, 9) for plane in stack_of(3)]
    assert codes(split([*slices, (PLANE, {"EchoTime": 9})]).findings) == ["duplicate_slices"]


def test_acquisitions_of_other_extent_are_volumes():
    slices = [(plane, {"AcquisitionNumber": 1}) for plane in stack_of(5)]
    slices += [(plane, {"AcquisitionNumber": 2}) for plane in stack_of(3, start=6.0)]
    result = split(slices)
    assert [part.grid.size[2] for part in result.parts] == [5, 3]
    assert codes(result.findings) == ["duplicate_slices", "several_volumes"]
    assert result.grid is None


@pytest.mark.parametrize(("start", "code"), [(4.1, "uneven_slices"), (4.0, "missing_slices")])
def test_stacks_that_reach_into_one_another_are_volumes(start, code):
    slices = [(plane, {"ImageType": "ORIGINAL"}) for plane in stack_of(5)]
    slices += [(plane, {"ImageType": "DERIVED"}) for plane in stack_of(4, start=start)]
    result = split(slices)
    assert [part.channels for part in result.parts] == [((0, 1, 2, 3, 4),), ((5, 6, 7, 8),)]
    assert codes(result.findings) == [code, "several_volumes"]


def test_stacks_end_to_end_may_be_one_of_variable_spacing():
    slices = [(plane, {"AcquisitionNumber": 1}) for plane in stack_of(4)]
    slices += [(plane, {"AcquisitionNumber": 2}) for plane in stack_of(4, start=13.0)]
    assert codes(split(slices).findings) == ["uneven_slices"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"orientation": (0, 1, 0, 0, 0, -1)}, "mixed_orientation"),
        ({"pixel_spacing": (0.6, 0.75)}, "mixed_spacing"),
        ({"rows": 10}, "mixed_size"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer_mixed_in"),
    ],
)
def test_what_cannot_share_a_grid_is_another_volume(change, code):
    other = replace(PLANE, **change)
    slices = [(plane, {}) for plane in [*stack_of(4), other]]
    result = split(slices)
    assert [part.channels for part in result.parts] == [((0, 1, 2, 3),), ((4,),)]
    assert codes(result.findings) == [code, "several_volumes"]
    assert result.findings[-1].numbers["volumes"][0]["size"] == (30, 20, 4)
    assert sorted(result.order) == list(range(5))


def test_slices_without_a_place_are_apart():
    result = split([(plane, {}) for plane in [*stack_of(3), replace(PLANE, position=None)]])
    assert [part.grid is None for part in result.parts] == [False, True]
    assert codes(result.findings) == ["no_position", "several_volumes"]


def test_a_sound_stack_asks_for_nothing():
    def refuse(k):
        raise AssertionError

    result = split_slices(stack_of(4), refuse)
    assert (result.findings, result.order) == ((), (0, 1, 2, 3))
    np.testing.assert_array_equal(result.grid.spacing, (0.75, 0.5, 3.0))


def test_series_numbers_are_volumes_and_no_channels():
    result = split([(plane, {"SeriesNumber": number}) for number in (5, 6) for plane in stack_of(3)])
    assert [part.axis for part in result.parts] == [None, None]
    assert codes(result.findings) == ["duplicate_slices", "several_volumes"]
