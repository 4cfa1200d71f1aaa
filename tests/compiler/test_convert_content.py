"""Masks in batches."""

import numpy as np
import pytest

from medimagenet.compiler import convert_content
from medimagenet.compiler.convert_content import read_content
from medimagenet.compiler.convert_plan import plan_of_index


@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_regions_come_in_their_order_however_many_fit(index, patients, monkeypatch, limit):
    monkeypatch.setattr(convert_content, "MASK_BYTES", limit)
    item = next(one for one in plan_of_index(index, None, None).items if "CT" in one.sample.series)
    truth = next(one for one in patients if one.series_uids["CT"][0] == item.sample.series["CT"]["SeriesInstanceUID"])
    content = read_content(item, None, as_map=False)
    wanted = truth.masks("CT")
    found = [(name, mask.copy()) for name, mask in content.masks()]
    assert [name for name, _ in found] == list(wanted.names)
    for name, mask in found:
        np.testing.assert_array_equal(mask, wanted[name])
