"""Rows of results: ``{"area", "work", "who", "value", "unit", "ratio", "goal", "met"}``."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import measure

OURS = "medimagenet"


def options(description: str | None, **counts: int) -> argparse.Namespace:
    """What every area's command line has, and whole numbers of its own with their defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds sts/ and nsclc_radiomics/; default: synthetic")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program, in turn; the median counts")
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"), help="environment of the peers")
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    return parser.parse_args()


def compare(area: str, work: str, values: Mapping[str, float], unit: str, goal: float | None) -> list[dict[str, Any]]:
    """Rows of one piece of work, where less is better.

    `ratio` is how many times our value each one's is. `goal` is the least ratio that every peer should have.
    """
    ours = values[OURS]
    rows = []
    for who, value in values.items():
        ratio = value / ours
        wanted = None if who == OURS else goal
        rows.append(
            {
                "area": area,
                "work": work,
                "who": who,
                "value": float(f"{value:.4g}"),
                "unit": unit,
                "ratio": float(f"{ratio:.3g}"),
                "goal": wanted,
                "met": None if wanted is None else ratio >= wanted,
            }
        )
    return rows


def alone(area: str, work: str, value: float, unit: str) -> dict[str, Any]:
    """A row that no peer stands beside."""
    return compare(area, work, {OURS: value}, unit, None)[0]


def finish(
    area: str, rows: Iterable[Mapping[str, Any]], notes: Iterable[str], peers: Mapping[str, str], out: Path | None
) -> None:
    """Print the table, write the file. `peers` are their versions."""
    rows = list(rows)
    for row in rows:
        ratio = "" if row["who"] == OURS else f"{row['ratio']:8.3g} x"
        print(f"{row['work']:<44} {row['who']:<16} {row['value']:>10} {row['unit']:<4} {ratio}")
    if out is None:
        return
    document = {
        "area": area,
        "command": f"python -m benchmarks.{area} {_without_places(sys.argv[1:])}".strip(),
        "machine": measure.machine(),
        "versions": {**measure.versions(), **peers},
        "notes": list(notes),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n")


def _without_places(arguments: Sequence[str]) -> str:
    """The command line as others would type it."""
    names = {"--data": "DIR", "--peers": "DIR", "--json": "FILE"}
    before = ["", *arguments]
    return " ".join(names.get(previous, word) for previous, word in zip(before, arguments, strict=False))
