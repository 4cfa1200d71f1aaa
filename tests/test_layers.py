"""Imports go one way: the contracts of pyproject.toml, as lint-imports checks them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("importlinter.cli", reason="import-linter comes with the extra lint")


def contracts() -> list[dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_every_contract_is_kept():
    """In a process of its own: rich, which prints its findings, keeps the streams that it first saw."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_cover_every_module():
    layers = next(contract for contract in contracts() if contract["type"] == "layers")
    assert layers["exhaustive"]
    placed = {name.strip(" ()") for layer in layers["layers"] for name in layer.split("|")}
    present = {path.stem for path in (ROOT / "medimagenet").glob("*.py")} - {"__init__"}
    present |= {path.parent.name for path in (ROOT / "medimagenet").glob("*/__init__.py")}
    assert present <= placed


def test_training_may_not_import_dicom():
    forbidden = next(contract for contract in contracts() if contract["type"] == "forbidden")
    assert forbidden["source_modules"] == ["medimagenet.loading", "medimagenet.train"]
    assert forbidden["forbidden_modules"] == ["medimagenet.dicom"]


def test_internal_imports_stand_at_the_top():
    """An import of ours inside a function often hides a cycle. Heavy packages of others may be imported late."""
    hidden = []
    for path in (ROOT / "medimagenet").rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if line.startswith(("    from .", "    from medimagenet", "    import medimagenet")):
                hidden.append((path.relative_to(ROOT).as_posix(), number, line))
    type_only = [entry for entry in hidden if _is_type_checking(ROOT / entry[0], entry[1])]
    assert [entry for entry in hidden if entry not in type_only] == []


def _is_type_checking(path: Path, number: int) -> bool:
    """Whether the block around a line is ``if TYPE_CHECKING:``."""
    lines = path.read_text().splitlines()[: number - 1]
    opener = next(line for line in reversed(lines) if line and not line.startswith((" ", ")")))
    return opener.startswith("if TYPE_CHECKING")
