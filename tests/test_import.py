"""What an import costs, in fresh processes: time, and which heavy packages come along."""

import json
import os
import subprocess
import sys

import pytest

from medimagenet import Index

HEAVY = {"numba", "SimpleITK", "pydicom", "torch", "monai", "lightning", "matplotlib", "tensorflow"}
LIMIT_S = 0.3
MEASURE = """
import json, sys, time
start = time.perf_counter()
{statement}
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""


def fresh(statement: str) -> tuple[float, set[str]]:
    """Seconds and modules of a statement in a process that has done nothing else."""
    program = MEASURE.format(statement=statement)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    seconds, modules = json.loads(answer.splitlines()[-1])
    return seconds, set(modules)


def test_the_package_is_imported_in_no_time():
    best = min(fresh("import medimagenet")[0] for _ in range(5))  # the best: others may be using the machine
    assert best < LIMIT_S


@pytest.mark.parametrize(
    "statement",
    [
        "import medimagenet",
        "import medimagenet; dir(medimagenet); medimagenet.__version__",
        "import medimagenet.cli.main",
        "import medimagenet.index, medimagenet.store, medimagenet.loading, medimagenet.train, medimagenet.dicom",
        "import medimagenet.preprocess, medimagenet.compiler, medimagenet.viz, medimagenet.synthetic",
        "from medimagenet import Index, open_index",  # a query needs no decoder
    ],
)
def test_heavy_packages_stay_out(statement):
    assert fresh(statement)[1] & HEAVY == set()


def test_a_query_loads_no_heavy_package(tmp_path):
    table = tmp_path / "empty.parquet"
    Index.from_records([]).write(table)
    statement = f"from medimagenet import open_index; open_index({str(table)!r}).sql('select count(*) from index')"
    assert fresh(statement)[1] & HEAVY == set()


def test_loading_and_training_need_no_dicom():
    modules = fresh("from medimagenet import PatchDataset, PatchLoader, VolumeDataset, DataModule")[1]
    assert "torch" in modules
    assert not {name for name in modules if name.startswith("medimagenet.dicom")}
