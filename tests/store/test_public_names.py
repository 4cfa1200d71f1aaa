"""The stage's public names: sorted, all there, and nothing heavy is loaded by asking for the package."""

import subprocess
import sys

import medimagenet.store as stage


def test_names_are_sorted_and_resolve():
    assert stage.__all__ == sorted(stage.__all__)
    assert dir(stage) == stage.__all__
    for name in stage.__all__:
        assert getattr(stage, name).__name__ == name


def test_the_function_verify_is_not_hidden_by_its_module():
    code = "import medimagenet.store.verification; from medimagenet.store import verify; verify.__call__"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_stage_loads_nothing_heavy():
    code = "import medimagenet.store, sys; sys.exit(bool({'numba', 'pyarrow', 'blosc2', 'torch'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_opening_a_store_needs_neither_zarr_nor_torch(store_path):
    code = f"""
import sys
from medimagenet.store import open_store
open_store({str(store_path)!r}).array("p1").read()
sys.exit(bool({{"zarr", "blosc2", "torch", "SimpleITK", "pydicom"}} & {{*sys.modules}}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
