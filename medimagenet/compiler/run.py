"""Compile an index into a store: plan, work in processes, commit, finish.

A sample exists when its row is in samples.parquet. The parent alone writes that table, after the bytes of the sample
are on the disk; so a compile may be killed at any moment, and the next one continues where it was.
"""

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .. import store as stores
from ..errors import StoreError
from ..index import INDEX_VERSION, Index, open_index
from ..preprocess import Recipe
from ..store import StoreConfig, attribution_markdown
from ..store.hdf5_files import first_file, is_hdf5_name
from .agreements import check_agreements
from .plan import Plan, Task, input_bytes, make_plan
from .pseudonyms import Pseudonyms, key_table_path, user_key, write_private
from .report import CompileReport, Outcome, Result, State, report_path
from .workers import Tell, Workers

if TYPE_CHECKING:
    from ..store import Hdf5Writer, StoreWriter

Progress = Callable[[int, int], None]
Form = Literal["zarr", "hdf5"]
Writer: TypeAlias = "StoreWriter | Hdf5Writer"

COMMIT_SECONDS = 5.0
"""At most this much work is lost when a compile is killed. The table is small, but it is written whole each time."""


def compile_store(
    index: Index | Path | str,
    recipe: Recipe | Path | str,
    out: Path | str,
    *,
    jobs: int | None = None,
    keep_patient_ids: bool = False,
    accept_licenses: Sequence[str] = (),
    executor: Executor | None = None,
    progress: Progress | None = None,
    form: Form | None = None,
    max_file_bytes: int | None = None,
    step_progress: Tell | None = None,
) -> CompileReport:
    """Compile the samples of an index by a recipe into a store.

    A store of the same recipe at `out` is continued: samples whose input is unchanged stay, the others are made,
    samples that are no longer in the index leave.

    Parameters
    ----------
    jobs : processes; by default one per core. 1 works in this process
    keep_patient_ids : original PatientIDs instead of pseudonyms for local data. The table that leads from
        pseudonyms back lies beside the store, readable by the user alone: ``<out>.patients.csv``
    accept_licenses : agreements that the user has signed and says yes to, by address or name, where data are bound
        by one
    executor : where to work instead, such as a Dask client's executor
    progress : called with (samples done, samples in all)
    form : "zarr" or "hdf5"; None: what the recipe says, else HDF5 where `out` ends with .h5 or .hdf5
    max_file_bytes : of a store in the HDF5 form, which then is several files; None: what the recipe says
    step_progress : called with (sample, step, done, of how much) by steps that take long, such as N4BiasCorrection;
        from other threads, and never with an `executor`

    Raises
    ------
    ValueError
        A store in the HDF5 form is called otherwise, or `max_file_bytes` is below 1.
    RecipeError, IndexFileError
        From reading `recipe` and `index`; RecipeError also where a class matches no ROI of any sample.
    SourceError
        No sample has all the recipe's modalities.
    LicenseError
        Data are bound by an agreement that is not in `accept_licenses`, or that keeps original IDs out.
    StoreExistsError
        `out` is taken by something else, or by a store of another recipe.
    StoreError
        The store cannot be written, or no sample could be compiled at all.
    """
    started = time.monotonic()
    index = index if isinstance(index, Index) else open_index(index)
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(Path(recipe))
    out = Path(out)
    check_agreements(index, accept_licenses, keep_patient_ids=keep_patient_ids, what="a store")
    pseudonyms = None if keep_patient_ids else Pseudonyms(user_key())
    make_plan(index, recipe, pseudonyms)  # every error of the plan comes before anything is written
    fresh = not out.exists() and first_file(out) is None
    writer = _open_writer(out, recipe, form or recipe.store.form, max_file_bytes or recipe.store.max_file_bytes)
    try:
        workers = Workers(jobs, executor, tell=step_progress)
        outcomes, plan = _compile(index, recipe, pseudonyms, writer, workers, progress)
    except BaseException:
        writer.close()
        if fresh and not writer.rows():  # nothing was made, so nothing is left
            writer.discard()
        raise
    report = CompileReport(
        path=out,
        outcomes=tuple(outcomes[name] for name in sorted(outcomes)),
        not_formed=plan.not_formed,
        seconds=time.monotonic() - started,
    )
    _finish(report, writer, pseudonyms, fresh)
    return report


def _open_writer(out: Path, recipe: Recipe, form: Form | None, max_file_bytes: int | None) -> Writer:
    settings: dict[str, Any] = {
        "recipe": recipe.to_dict(),
        "recipe_hash": recipe.hash,
        "classes": recipe.classes,
        "label_kind": recipe.label,
        "index_version": str(INDEX_VERSION),
        "config": StoreConfig(chunk=recipe.store.chunk, codec=recipe.store.codec),
        "resume": True,
    }
    if form == "hdf5" or (form is None and is_hdf5_name(out)):
        return stores.create_hdf5_store(out, max_file_bytes=max_file_bytes, **settings)
    return stores.create_store(out, **settings)


def _compile(
    index: Index,
    recipe: Recipe,
    pseudonyms: Pseudonyms | None,
    writer: Writer,
    workers: Workers,
    progress: Progress | None,
) -> tuple[dict[str, Outcome], Plan]:
    frozen = {row["patient_id"]: (row["split"], row["fold"]) for row in writer.rows()}
    plan = make_plan(index, recipe, pseudonyms, frozen=frozen)
    outcomes = _settle(plan, writer)
    todo = [task for task in plan.tasks if task.sample_id not in outcomes]
    results = replace(workers, input_bytes=input_bytes(todo)).run(_compile_task, todo, recipe, writer)
    for result in _commit(results, writer, len(todo), progress):
        state: State = "skipped" if result.row is None else "written"
        outcomes[result.sample_id] = Outcome(sample_id=result.sample_id, state=state, findings=result.findings)
    return outcomes, plan


def _compile_task(task: Task, recipe: Recipe, writer: "StoreWriter", *tell: Tell) -> Result:
    """Runs in a worker, which alone needs the decoders and the compiled code."""
    result: Result = importlib.import_module(f"{__package__}.sample").compile_sample(task, recipe, writer, *tell)
    return result


def _settle(plan: Plan, writer: Writer) -> dict[str, Outcome]:
    """What needs no work: samples that are there, that must not be made, or that are no longer in the index."""
    rows = {row["sample_id"]: row for row in writer.rows()}
    outcomes: dict[str, Outcome] = {}
    for task in plan.tasks:
        state: State | None = None
        if task.obstacles:
            state = "skipped"
        elif task.sample_id in rows and rows[task.sample_id]["input_hash"] == task.input_hash:
            state = "unchanged"
        if state is not None:
            outcomes[task.sample_id] = Outcome(sample_id=task.sample_id, state=state, findings=task.findings)
    wanted = {task.sample_id for task in plan.tasks}
    for sample_id in rows:
        if sample_id not in outcomes or outcomes[sample_id].state == "skipped":
            writer.remove(sample_id)  # a changed one too: a row never stands for other bytes
        if sample_id not in wanted:
            outcomes[sample_id] = Outcome(sample_id=sample_id, state="removed")
    return outcomes


def _commit(results: Iterable[Result], writer: Writer, total: int, progress: Progress | None) -> Iterator[Result]:
    """Pass results on, and their rows to the table: every few seconds, and whatever happens at the end."""
    rows: list[Mapping[str, Any]] = []
    committed = time.monotonic()
    try:
        for done, result in enumerate(results, start=1):
            if result.row is not None:
                rows.append(result.row)
            if rows and time.monotonic() - committed > COMMIT_SECONDS:
                writer.commit(rows)
                rows, committed = [], time.monotonic()
            if progress is not None:
                progress(done, total)
            yield result
    finally:
        if rows:
            writer.commit(rows)


def _finish(report: CompileReport, writer: Writer, pseudonyms: Pseudonyms | None, fresh: bool) -> None:
    rows = writer.rows()
    write_private(report_path(report.path), report.to_csv())
    if not rows:
        writer.close()
        if fresh:
            writer.discard()
        reasons = Counter(finding.code for outcome in report.skipped for finding in outcome.findings)
        raise StoreError(
            f"none of {len(report.skipped)} samples could be compiled into {report.path} "
            f"({', '.join(f'{count} x {code}' for code, count in reasons.most_common())}): "
            f"{report_path(report.path)} says why for each"
        )
    writer.finish(attribution_markdown(rows), _fingerprint(rows))
    if pseudonyms is not None and not pseudonyms.is_empty:
        write_private(key_table_path(report.path), pseudonyms.to_csv())


def _fingerprint(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all samples together are like: counts, median shapes, spacings and intensities of each array."""
    arrays: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for array in row["arrays"]:
            arrays.setdefault(array["name"], []).append(array)
    return {
        "n_samples": len(rows),
        "n_patients": len({row["patient_id"] for row in rows}),
        "splits": dict(sorted(Counter(row["split"] for row in rows).items())),
        "arrays": {name: _medians(found) for name, found in sorted(arrays.items())},
    }


def _medians(arrays: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the samples; a figure that a sample lacks (an image without a finite voxel) does not count."""
    figures = {}
    for key in ("min", "max", "mean", "std"):
        values = [array[key] for array in arrays if array[key] is not None]
        figures[key] = float(np.median(values)) if values else None
    return {
        "n": len(arrays),
        "median_shape": np.median([array["shape"] for array in arrays], axis=0).tolist(),
        "median_spacing_mm": np.median([array["spacing_mm"] for array in arrays], axis=0).tolist(),
        **{f"median_{key}": value for key, value in figures.items()},
    }
