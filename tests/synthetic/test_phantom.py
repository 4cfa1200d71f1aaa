"""Random anatomies: everything lies in the body, the body in the image, the tumour in the liver; counted volumes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid
from medimagenet.synthetic.phantom import Organ, Phantom, random_phantom
from medimagenet.synthetic.shapes import Ellipsoid

DIRECTIONS = [np.eye(3), Rotation.from_euler("xyz", [15, -20, 35], degrees=True).as_matrix()]
DIRECTIONS.append(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))  # sagittal


def grid_towards(direction):
    return Grid((56, 44, 26), (7.0, 6.0, 8.0), (-150.0, -120.0, -90.0), direction.tolist())


@pytest.mark.parametrize("direction", DIRECTIONS, ids=["upright", "oblique", "sagittal"])
@pytest.mark.parametrize("seed", range(12))
def test_organs_lie_in_the_body_and_the_body_in_the_image(direction, seed):
    grid = grid_towards(direction)
    wider = grid.crop((-6, -6, -6), [n + 12 for n in grid.size])
    phantom = random_phantom(grid, seed)
    truth = phantom.masks(wider)
    outside = np.ones(wider.shape, dtype=bool)
    outside[6:-6, 6:-6, 6:-6] = False
    assert not (truth["body"] & outside).any()
    for name in phantom.names:
        assert not (truth[name] & ~truth["body"]).any(), name
    assert not (truth["GTV"] & ~truth["liver"]).any()
    assert (truth["stomach"] & truth["liver"]).any()


def test_counted_volumes_are_the_analytic_ones():
    grid = Grid((150, 150, 120), (2.0, 2.0, 2.5), (-150.0, -150.0, -150.0))
    phantom = random_phantom(grid, 5)
    counted = phantom.masks(grid).volumes_mm3()
    for name, volume in phantom.volumes_mm3.items():
        assert counted[name] == pytest.approx(volume, rel=0.02), name


def test_anatomies_differ_and_a_seed_repeats():
    grid = grid_towards(np.eye(3))
    phantoms = [random_phantom(grid, seed) for seed in range(40)]
    assert len({repr(phantom) for phantom in phantoms}) == 40
    assert random_phantom(grid, 7) == phantoms[7]
    tumours = [phantom.volumes_mm3["GTV"] for phantom in phantoms]
    assert max(tumours) / min(tumours) > 5


def test_the_last_organ_is_painted_on_top_and_masks_keep_both():
    values = {"MR": 1.0, "PT": 2.0}
    first = Organ(name="a", shape=Ellipsoid(center=(0, 0, 0), radii=(4, 4, 4)), values={"CT": 10.0, **values})
    second = Organ(name="b", shape=Ellipsoid(center=(3, 0, 0), radii=(4, 4, 4)), values={"CT": 20.0, **values})
    phantom = Phantom((first, second))
    grid = Grid((15, 11, 11), (1.0, 1.0, 1.0), (-6.0, -5.0, -5.0))
    image, truth = phantom.image(grid, "CT"), phantom.masks(grid)
    assert set(np.unique(image[truth["b"]])) == {20.0}
    assert set(np.unique(image[truth["a"] & ~truth["b"]])) == {10.0}
    assert set(np.unique(image[~truth["a"] & ~truth["b"]])) == {-1000.0}
    assert truth.overlap_voxels() > 0
    assert phantom.masks(grid, ["b"]).names == ("b",)


def test_names_must_be_unique_and_known():
    organ = Organ(name="a", shape=Ellipsoid(center=(0, 0, 0), radii=(4, 4, 4)), values={})
    with pytest.raises(ValueError, match=r"'a', 'a'"):
        Phantom((organ, organ))
    with pytest.raises(KeyError, match="'spleen'"):
        Phantom((organ,))["spleen"]
