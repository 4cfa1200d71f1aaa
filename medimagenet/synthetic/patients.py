"""Write a cohort of synthetic patients on all cores."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import IDENTITY, Direction, Grid
from .patient import write_patient
from .phantom import random_phantom
from .truth import PatientTruth

Progress = Callable[[int, int], None]
"""Called with (patients done, patients in all)."""
Nth = tuple[int, Sequence[str]]
"""Number of a patient from 0, and its defects."""


def write_patients(
    folder: str | Path,
    n: int,
    *,
    modalities: Sequence[str] = ("CT", "RTSTRUCT"),
    seed: int = 0,
    size: Sequence[int] = (64, 64, 32),
    spacing: Sequence[float] = (6.0, 6.0, 8.0),
    direction: Direction = IDENTITY,
    annotate: Sequence[str] | None = None,
    noise: float = 1.0,
    defects: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[PatientTruth]:
    """Write a cohort of `n` patients with different anatomy, SYN-0001 and on.

    Parameters
    ----------
    folder : made when it does not exist; gets one folder per patient
    modalities, annotate, noise : as in `write_patient`
    seed : of the cohort; patient k is the same whatever `n` and `jobs` are
    size, spacing : of the leading image, x, y, z, voxels and mm
    direction : of the leading image, columns are its axes in LPS
    defects : names out of `DEFECTS`: the first patient gets the first, the second the second, and so on; the others
        are sound. ``("missing_slices",) * n`` gives it to all.
    jobs : processes; default one per core, 1 writes in this process
    progress : called with (patients done, n)

    Raises
    ------
    ValueError
        `n` or `jobs` below 1, more defects than patients, or as `write_patient`.
    FileExistsError
        A patient's folder exists.
    """
    if n < 1 or (jobs is not None and jobs < 1):
        raise ValueError(f"n and jobs must be at least 1, got n={n}, jobs={jobs}")
    if len(defects) > n:
        raise ValueError(f"{len(defects)} defects need as many patients, got n={n}: {', '.join(defects)}")
    write = partial(
        _write_nth,
        folder=Path(folder),
        centred=Grid(size, spacing, direction=direction),  # type: ignore[arg-type]  # it makes tuples of them
        seed=seed,
        options={"modalities": tuple(modalities), "annotate": annotate, "noise": noise},
    )
    per_patient = [(k, defects[k : k + 1]) for k in range(n)]
    truths = []
    for truth in _run(write, per_patient, min(n, jobs or os.cpu_count() or 1)):
        truths.append(truth)
        if progress is not None:
            progress(len(truths), n)
    return truths


def _write_nth(nth: Nth, *, folder: Path, centred: Grid, seed: int, options: Mapping[str, Any]) -> PatientTruth:
    k, defects = nth
    # Where the middle of the field of view lies, mm: scanners do not put it at zero.
    middle = np.random.default_rng([seed, k, 1]).uniform([-30.0, -150.0, -400.0], [30.0, 50.0, 400.0])
    corner = middle - centred.to_patient((np.asarray(centred.size) - 1) / 2)
    x, y, z = np.round(corner, 3).tolist()
    grid = replace(centred, origin=(x, y, z))
    phantom = random_phantom(grid, (seed, k))
    return write_patient(folder, f"SYN-{k + 1:04d}", grid=grid, phantom=phantom, seed=seed, defects=defects, **options)


def _run(write: Callable[[Nth], PatientTruth], patients: Sequence[Nth], jobs: int) -> Iterator[PatientTruth]:
    if jobs == 1:
        yield from map(write, patients)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(write, patients)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
