"""Batches for TensorFlow against those of PatchLoader: the same bytes, in the same order."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from medimagenet import _optional
from medimagenet.errors import MissingPackageError, StoreError
from medimagenet.loading import PatchLoader
from medimagenet.store import Targets, open_store
from medimagenet.train import to_tf_dataset
from medimagenet.train.tensorflow import _Batches

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")
OPTIONS = {"patch_size": (9, 8, 7), "patches_per_epoch": 11, "foreground": 0.5, "seed": 3}
ARRAYS = ("image", "label", "pt", "affine", "patch_start")


def digest(batch, names):
    ids = [value.decode() if isinstance(value, bytes) else value for value in names]
    stamp = hashlib.sha256(repr(ids).encode())
    for name in (*ARRAYS, *(["target"] if "target" in batch else [])):
        array = np.ascontiguousarray(batch[name].numpy())
        stamp.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return stamp.hexdigest()


def by_tensorflow(dataset):
    return [digest(batch, batch["sample_id"].numpy().tolist()) for batch in dataset]


def by_torch(store, epochs=1, **options):
    with PatchLoader(store, **options, workers=1) as loader:
        return [[digest(batch, batch["sample_id"]) for batch in loader] for _ in range(epochs)]


def test_the_batches_of_a_patch_loader(small_store):
    expected = by_torch(small_store, epochs=2, **OPTIONS)
    for workers in (1, 4, None):
        found = open_store(small_store).to_tf_dataset(**OPTIONS, workers=workers)
        assert by_tensorflow(found) == expected[0]
        assert by_tensorflow(found) == expected[0]  # iterating again gives them again
        assert found.cardinality() == 6
    assert by_tensorflow(to_tf_dataset(small_store, **OPTIONS, epochs=2)) == expected[0] + expected[1]
    assert by_tensorflow(to_tf_dataset(small_store, **OPTIONS, epoch=1)) == expected[1]
    endless = to_tf_dataset(small_store, **OPTIONS, epochs=None).take(8)
    assert by_tensorflow(endless) == (expected[0] + expected[1])[:8]
    resumed = to_tf_dataset(small_store, **OPTIONS, epochs=2, first_batch=4)
    assert by_tensorflow(resumed) == (expected[0] + expected[1])[4:]


def test_ranks_samplers_and_targets(small_store, tmp_path):
    table = tmp_path / "targets.csv"
    table.write_text("sample_id,age,dose\n" + "".join(f"s{k:02d},{50 + k},{k / 2}\n" for k in range(9)))
    options = {
        **OPTIONS,
        "balance": "classes",
        "weights": [1, 2, 1, 2, 1],
        "targets": Targets(columns=["age", "dose"], table=table),
        "orientation": "LPS",
        "label_dtype": "float32",
    }
    expected = by_torch(small_store, **options)[0]
    assert by_tensorflow(to_tf_dataset(small_store, **options)) == expected
    dealt = [by_tensorflow(to_tf_dataset(small_store, **options, rank=rank, ranks=2)) for rank in (0, 1)]
    assert [each for step in zip(*dealt, strict=True) for each in step] == expected


def test_channels_last_for_keras(small_store):
    first = next(iter(to_tf_dataset(small_store, **OPTIONS)))
    last = next(iter(to_tf_dataset(small_store, **OPTIONS, channels_last=True)))
    assert last["label"].shape == (2, 9, 8, 7, 2)
    for name in ("image", "label", "pt"):
        np.testing.assert_array_equal(np.moveaxis(last[name].numpy(), -1, 1), first[name].numpy())
    spec = to_tf_dataset(small_store, **OPTIONS, channels_last=True).element_spec
    assert spec["image"] == tf.TensorSpec((2, 9, 8, 7, 1), tf.float32)
    network = tf.keras.Sequential([tf.keras.Input((9, 8, 7, 1)), tf.keras.layers.Conv3D(2, 3, padding="same")])
    network.compile(loss="mse")
    pairs = to_tf_dataset(small_store, **OPTIONS, channels_last=True, epochs=2).map(
        lambda batch: (batch["image"], tf.cast(batch["label"], tf.float32))
    )
    history = network.fit(pairs, epochs=2, steps_per_epoch=6, verbose=0)
    assert len(history.history["loss"]) == 2


def test_tensors_are_on_the_arrays_that_were_read_and_stay_as_they_are(small_store, monkeypatch):
    places, read = set(), _Batches.read

    def watched(self, number):
        values = read(self, number)
        places.add(values[0].ctypes.data)
        return values

    monkeypatch.setattr(_Batches, "read", watched)
    dataset = to_tf_dataset(small_store, **{**OPTIONS, "patches_per_epoch": 60}, workers=1)
    seen = {np.from_dlpack(batch["image"]).ctypes.data for batch in dataset}
    assert seen <= places  # not a copy
    assert len(places) <= 10  # of 30 batches: memory is used again
    kept = [batch["image"] for batch in dataset]
    assert all(np.array_equal(a.numpy(), b["image"].numpy()) for a, b in zip(kept, dataset, strict=True))


def test_what_goes_wrong_names_the_sample(tmp_path, small_store):
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(small_store, damaged)
    for path in (damaged / "samples" / "s03" / "image" / "0" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(tf.errors.OpError, match="sample s03, array image"):
        list(to_tf_dataset(damaged, **OPTIONS))
    with pytest.raises(StoreError, match="no samples in split 'nothing'"):
        to_tf_dataset(small_store, **OPTIONS, split="nothing")
    for wrong in ({"epochs": 0}, {"first_batch": 6}, {"prefetch": 0}, {"rank": 1, "ranks": 1}):
        with pytest.raises(ValueError, match="got"):
            to_tf_dataset(small_store, **OPTIONS, **wrong)


def test_without_tensorflow_the_extra_is_named(small_store, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(_optional.importlib, "import_module", absent)
    with pytest.raises(MissingPackageError, match=r'pip install "medimagenet\[tensorflow\]"'):
        to_tf_dataset(small_store, **OPTIONS)


def test_torch_is_not_needed(small_store):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from medimagenet import open_store\n"
        f"data = open_store({os.fspath(small_store)!r}).to_tf_dataset(patch_size=(8, 8, 8))\n"
        "print(len([batch['image'].shape for batch in data]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.strip() == "3", done.stderr[-2000:]
