"""`medimagenet bench`: what this machine loads from a store."""

import dataclasses
from typing import Annotated

import typer

from ..loading import LoaderSpeed, measure_loader
from .output import JsonFlag, plural, write_json, write_line, write_table, wrong_usage


def command(
    store: Annotated[str, typer.Argument(help="Store to load from, or its address.", metavar="Y.zarr")],
    patch: Annotated[
        tuple[int, int, int], typer.Option("--patch", metavar="X Y Z", help="Voxels along x, y, z, such as 96 96 64.")
    ] = (96, 96, 96),
    batch: Annotated[int, typer.Option("--batch", min=1, help="Patches in a batch.")] = 2,
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Threads; one per core if not given.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only samples of this split.")] = None,
    step: Annotated[
        float | None, typer.Option("--step-ms", min=0.01, help="Milliseconds that your training step takes per batch.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="How long to load.")] = 3.0,
    as_json: JsonFlag = False,
) -> None:
    """Measure the loader on this machine: patches and megabytes a second, where the time goes, what a step needs.

    Every second patch is put on foreground. Files that were read before come from the page cache, as in a second epoch.
    """
    with wrong_usage():
        speed = measure_loader(store, patch_size=patch, batch_size=batch, split=split, workers=workers, seconds=seconds)
    needed = None if step is None else 1000 * batch / step
    waiting = None if step is None else speed.waiting(batch, step)
    if as_json:
        write_json(
            {
                "store": store,
                "patch": list(patch),
                "batch": batch,
                **dataclasses.asdict(speed),
                "step_ms": step,
                "needed_patches_per_s": needed,
                "waiting": waiting,
            }
        )
        return
    _render(speed)
    if step is not None and needed is not None and waiting is not None:
        write_line()
        write_line(
            f"a step of {step:g} ms takes {needed:.0f} patches/s: "
            + ("the loader is ahead of it" if waiting == 0 else f"it would wait {100 * waiting:.0f} % of its time")
        )


def _render(speed: LoaderSpeed) -> None:
    write_line(
        f"{speed.patches_per_s:.0f} patches/s, {speed.mb_per_s:.0f} MB/s of tensors, "
        f"{plural(speed.workers, 'thread')}; first batch after {speed.first_batch_s:.2f} s"
    )
    whole = sum(speed.parts.values())
    write_table(
        ["part", "ms per patch, one thread", "share"],
        [[name, f"{spent:.3f}", f"{100 * spent / whole:.0f} %"] for name, spent in speed.parts.items()],
    )
