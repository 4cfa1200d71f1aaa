"""summarize and plot against the arrays that were written: counts by NumPy, pictures read back by Pillow."""

import json

import numpy as np
import pytest
from PIL import Image

from medimagenet.compiler.inspect import plot, read_masks, summarize
from medimagenet.errors import StoreError
from medimagenet.findings import Finding
from medimagenet.geometry import Grid
from medimagenet.store import SampleData, StoredArray, create_store, open_store
from medimagenet.viz.slices import Plane, best_slice, take_slice
from medimagenet.volume import Normalization

GRID = Grid((40, 30, 12), (1.0, 1.5, 4.0))
CLASSES = ("liver", "tumour")
FINDING = Finding(code="nonuniform_spacing", message="slices are 0.1 mm off", numbers={"mm": 0.1})


def truth(k):
    """(2, Z, Y, X): a liver, and a tumour that lies partly in it."""
    z, y, x = np.mgrid[:12, :30, :40]
    liver = ((x - 12 - k) / 8) ** 2 + ((y - 14) / 7) ** 2 + ((z - 5) / 4) ** 2 < 1
    tumour = ((x - 20 - k) / 3) ** 2 + ((y - 14) / 3) ** 2 + ((z - 5) / 2) ** 2 < 1
    return np.stack([liver, tumour])


def sample(k, label_kind, *, with_label=True):
    image = np.random.default_rng(k).integers(-200, 300, (1, *GRID.shape)).astype(np.int16)
    constants = Normalization(low=-160, high=240, subtract=-160, divide=400)
    arrays = {"image": StoredArray(array=image, grid=GRID, normalization=constants, unit="HU")}
    if with_label:
        masks = truth(k)
        label = masks if label_kind == "channels" else np.max(masks * np.array([1, 2])[:, None, None, None], 0)[None]
        arrays["label"] = StoredArray(array=label.astype(np.uint8), grid=GRID)
        arrays["pt"] = StoredArray(array=np.full((1, *GRID.shape), k, dtype=np.float32), grid=GRID)
    row = {
        "patient_id": f"P{k // 2}",
        "split": ("train", "val")[k // 4],
        "license": "CC-BY-4.0",
        "doi": "10.1000/x",
        "series": [{"modality": name, "series_uid": f"1.2.{k}"} for name in ("CT", "RTSTRUCT", "PT")],
        "findings": [FINDING.to_row()] if k == 0 else [],
    }
    return SampleData(sample_id=f"s{k}", arrays=arrays, row=row)


def build(folder, label_kind, samples, classes=CLASSES):
    writer = create_store(
        folder / "a.zarr",
        recipe={"name": "test"},
        recipe_hash="0123456789abcdef",
        classes=classes,
        label_kind=label_kind,
        index_version="1",
    )
    writer.commit([writer.write_sample(data) for data in samples])
    writer.finish("", {"n_samples": len(samples)})
    return open_store(folder / "a.zarr")


@pytest.fixture(scope="module", params=["channels", "map"])
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return build(folder, request.param, [sample(k, request.param) for k in range(6)])


def shown_classes(store, k):
    """In a map the later class has taken the voxels of both."""
    masks = truth(k)
    return masks if store.label_kind == "channels" else np.stack([masks[0] & ~masks[1], masks[1]])


def test_masks_are_those_that_were_written(store):
    for k in range(6):
        np.testing.assert_array_equal(read_masks(store, f"s{k}"), shown_classes(store, k))


def test_numbers_of_the_whole(store):
    summary = summarize(store)
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["samples"], summary["patients"]) == (6, 3)
    assert summary["splits"] == {"train": 4, "val": 2}
    assert summary["licenses"] == {"CC-BY-4.0": 6}
    assert summary["findings"] == [{"code": "nonuniform_spacing", "severity": "warning", "count": 1}]
    assert (summary["recipe"], summary["finished"], summary["classes"]) == ("test", True, list(CLASSES))


def test_numbers_of_a_sample(store):
    (row,) = summarize(store, ["s3"])["rows"]
    assert row["size"] == [40, 30, 12]
    assert row["spacing_mm"] == [1.0, 1.5, 4.0]
    assert row["modalities"] == ["CT", "RTSTRUCT", "PT"]
    for name, mask in zip(CLASSES, shown_classes(store, 3), strict=True):
        assert row["classes"][name] == {"voxels": mask.sum(), "volume_mm3": pytest.approx(mask.sum() * 6.0)}


def coloured(picture):
    return np.ptp(picture.astype(int), axis=-1) > 0


def test_picture_has_colour_where_the_masks_are(store, tmp_path):
    assert plot(store, tmp_path / "p.png", ["s2"]) == ("s2",)
    figure = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    masks = shown_classes(store, 2)
    picture = take_slice(masks.any(axis=0), Plane.AXIAL, best_slice(masks, Plane.AXIAL))
    found = coloured(figure[:, : figure.shape[1] // 3])  # the first column: axial, of CT and of PT
    rows = np.flatnonzero(found.any(axis=1))
    blocks = np.split(rows, np.flatnonzero(np.diff(rows) > 50) + 1)  # pictures stand apart
    assert len(blocks) >= 2
    for block in blocks[:2]:
        box = found[block[0] : block[-1] + 1]
        box = box[:, np.flatnonzero(box.any(axis=0))[0] : np.flatnonzero(box.any(axis=0))[-1] + 1]
        inside = picture[np.ix_(picture.any(axis=1), picture.any(axis=0))]
        step = [n / m for n, m in zip(box.shape, inside.shape, strict=True)]
        middles = [((np.arange(m) + 0.5) * s).astype(int) for m, s in zip(inside.shape, step, strict=True)]
        np.testing.assert_array_equal(box[np.ix_(*middles)], inside)


def test_same_store_same_picture(store, tmp_path):
    for name in ("one.png", "two.png"):
        plot(store, tmp_path / name, ["s0", "s5"])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_without_names_every_split_is_shown(store, tmp_path):
    shown = plot(store, tmp_path / "p.png")
    assert shown == ("s0", "s1", "s4", "s5")


def test_unknown_sample(store, tmp_path):
    with pytest.raises(ValueError, match=r"no sample 's9' in .*; it has 6: s0, s1"):
        plot(store, tmp_path / "p.png", ["s1", "s9"])
    with pytest.raises(ValueError, match="no sample 's9'"):
        summarize(store, ["s9"])
    assert not (tmp_path / "p.png").exists()


def test_images_without_labels_and_a_store_without_samples(tmp_path):
    bare = build(tmp_path, "channels", [sample(0, "channels", with_label=False)], classes=())
    assert read_masks(bare, "s0").shape == (0, *GRID.shape)
    assert plot(bare, tmp_path / "p.png") == ("s0",)
    assert not coloured(np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))).any()
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no samples to draw"):
        plot(build(tmp_path / "empty", "channels", []), tmp_path / "q.png")
