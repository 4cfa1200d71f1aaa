"""Six synthetic patients, their index, and a recipe that changes no voxel."""

import hashlib

import pytest

from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.synthetic import write_patients

SIZE, SPACING = (40, 40, 20), (9.6, 9.6, 12.8)

RECIPE = """
name: plain
modalities: [CT, RTSTRUCT]
rois: {liver: [liver], tumour: ["gtv.*"]}
images: {CT: {normalize: {kind: window, low: -160, high: 240}}}
split: {train: 0.5, val: 0.5, seed: 0}
"""


@pytest.fixture(scope="session")
def patients(tmp_path_factory):
    """Truth of six patients, in one folder."""
    folder = tmp_path_factory.mktemp("patients")
    return write_patients(folder, 6, size=SIZE, spacing=SPACING, seed=3, jobs=1, noise=0.0)


@pytest.fixture(scope="session")
def index(patients):
    return index_directory(patients[0].folder.parent, jobs=1, collection_id="synthetic", license="CC0-1.0")


@pytest.fixture(scope="session")
def recipe():
    return Recipe.from_yaml(RECIPE)


@pytest.fixture(scope="session")
def tree_hash():
    """Digest of the names and bytes of all files below a folder, or of a file."""

    def digest(folder):
        stamp = hashlib.sha256(folder.read_bytes() if folder.is_file() else b"")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            stamp.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode() + path.read_bytes())
        return stamp.hexdigest()

    return digest
