"""Make docs/benchmarks.md and its figures from the results.

python -m benchmarks.report
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from .rows import OURS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
AREAS = {
    "query": "Query",
    "download": "Download",
    "scan": "Index",
    "decode": "Decode",
    "rtstruct": "RTSTRUCT to mask",
    "kernels": "Kernels",
    "convert": "Convert",
    "compile": "Compile",
    "store": "Store",
    "remote": "Store in object storage",
    "loading": "Loading",
    "gpu": "GPU",
}
INTRODUCTION = """\
# Benchmarks

Made by `python -m benchmarks.report` from the files in `benchmarks/results`; `make bench DATA=DIR` makes those anew.
Each area runs us and the peers on the same data, in turn, and first checks that all computed the same; figures are
medians. A ratio says how many times our value the peer's is: above 1 we need less. Machines drift; the ratios are
what to look at.

Index and compile are whole programs: wall time from the start of the process to its end, files in the page cache.
Memory is the largest sum over the process tree of proportional set sizes (shared pages count once), sampled every
20 ms in a run of its own. Their first run has an empty cache folder: it compiles the kernels that later runs load.

Before each call of decoding and kernels, memory is touched and released: a virtual machine that has given free memory
back to its host would else charge getting it again to whoever comes next.
"""


def main() -> None:
    documents = [
        json.loads((RESULTS / f"{area}.json").read_text()) for area in AREAS if (RESULTS / f"{area}.json").exists()
    ]
    IMAGES.mkdir(parents=True, exist_ok=True)
    lines = [INTRODUCTION]
    for document in documents:
        _plot(document)
        lines += _section(document)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _section(document: dict[str, Any]) -> Iterator[str]:
    title = AREAS[document["area"]]
    machine, versions = document["machine"], document["versions"]
    yield f"## {title}\n"
    yield f"`{document['command']}`\n"
    yield f"![Time and memory, {title.lower()}](images/benchmark-{document['area']}.svg)\n"
    yield "| work | who | value | ratio | goal | met |"
    yield "|---|---|---:|---:|---:|---|"
    for row in document["rows"]:
        yield _table_row(row)
    yield ""
    yield from (f"- {note}" for note in document["notes"])
    yield f"- {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']},"
    yield f"  Python {machine['python']};"
    yield f"  {', '.join(f'{name} {version}' for name, version in versions.items())}.\n"


def _table_row(row: dict[str, Any]) -> str:
    ratio = "" if row["who"] == OURS else f"{row['ratio']:g}"
    goal = "" if row["goal"] is None else f"≥ {row['goal']:g}"
    met = {None: "", True: "yes", False: "no"}[row["met"]]
    return f"| {row['work']} | {row['who']} | {row['value']:g} {row['unit']} | {ratio} | {goal} | {met} |"


def _plot(document: dict[str, Any]) -> None:
    """One small bar chart per piece of work that has a peer."""
    rows = document["rows"]
    works = [
        work for work in dict.fromkeys(row["work"] for row in rows) if sum(row["work"] == work for row in rows) > 1
    ]
    if not works:
        works = list(dict.fromkeys(row["work"] for row in rows))
    pyplot.rcParams.update({"svg.hashsalt": "medimagenet", "font.size": 9})
    heights = [0.55 + 0.2 * sum(row["work"] == work for row in rows) for work in works]
    figure, axes = pyplot.subplots(len(works), 1, figsize=(7, sum(heights) + 0.4), squeeze=False, height_ratios=heights)
    for axis, work in zip(axes[:, 0], works, strict=True):
        mine = [row for row in rows if row["work"] == work]
        names, values = [row["who"] for row in mine], [row["value"] for row in mine]
        bars = axis.barh(names, values, color=["#3949ab" if name == OURS else "#b0bec5" for name in names])
        axis.bar_label(bars, labels=[f"{row['value']:g} {row['unit']}" for row in mine], padding=3)
        axis.set_title(work, loc="left", fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(IMAGES / f"benchmark-{document['area']}.svg", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
