"""A compiled store in the eyes of others: ome-zarr-models, zarr-python and tensorstore."""

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image

from medimagenet.compiler import compile_store
from medimagenet.preprocess import Recipe
from medimagenet.store import open_store

from .conftest import RECIPE


@pytest.fixture(scope="module")
def store(index, tmp_path_factory):
    """Resampled, so that spacing and origin are no whole numbers; chunks that do not divide the shapes."""
    recipe = Recipe.from_dict(
        {**Recipe.from_yaml(RECIPE).to_dict(), "spacing": [7.3, 8.1, 9.7], "store": {"chunk": 16}}
    )
    return open_store(compile_store(index, recipe, tmp_path_factory.mktemp("others") / "a.zarr", jobs=1).path)


def every_image(store):
    return [(sample_id, name) for sample_id in store.ids() for name in store.names(sample_id)]


def test_every_image_is_an_ome_zarr_0_5_image(store):
    images = every_image(store)
    assert len(images) == 12
    for sample_id, name in images:
        group = zarr.open_group(store.path / "samples" / sample_id / name, mode="r")
        (multiscale,) = Image.from_zarr(group).ome_attributes.multiscales
        grid = store.array(sample_id, name).grid
        scale, translation = multiscale.datasets[0].coordinateTransformations
        assert scale.scale == [1.0, *grid.spacing[::-1]]
        assert translation.translation == [0.0, *grid.origin[::-1]]
        assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [
            ("c", "channel", None),
            *((axis, "space", "millimeter") for axis in "zyx"),
        ]


def test_ome_zarr_models_does_refuse(store, tmp_path):
    """The judge judges: without a scale an image is none."""
    group = zarr.open_group(store.path / "samples" / store.ids()[0] / "image", mode="r")
    ome = group.attrs.asdict()["ome"]
    del ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    other = zarr.create_group(tmp_path / "other.zarr", attributes={"ome": ome})
    other.create_array("0", shape=group["0"].shape, dtype="i2")
    with pytest.raises(Exception, match="scale"):
        Image.from_zarr(other)


@pytest.fixture(scope="module")
def judges(store):
    """Every image by zarr-python and by tensorstore."""
    found = {}
    for sample_id, name in every_image(store):
        folder = store.path / "samples" / sample_id / name / "0"
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}}
        found[sample_id, name] = zarr.open_array(folder, mode="r"), tensorstore.open(spec, read=True).result()
    return found


@settings(max_examples=80)
@given(st.data())
def test_the_same_voxels_in_random_boxes(store, judges, data):
    sample_id, name = data.draw(st.sampled_from(every_image(store)))
    reader = store.array(sample_id, name)
    start = [data.draw(st.integers(0, n - 1)) for n in reader.shape[1:]]
    shape = [data.draw(st.integers(1, n - a)) for n, a in zip(reader.shape[1:], start, strict=True)]
    box = (slice(None), *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))
    ours = reader.read(start, shape)
    by_zarr, by_tensorstore = judges[sample_id, name]
    for theirs in (by_zarr[box], by_tensorstore[box].read().result()):
        assert theirs.dtype == ours.dtype
        np.testing.assert_array_equal(theirs, ours)
