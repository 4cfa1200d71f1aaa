"""`medimagenet demo`: the whole chain on synthetic patients, from DICOM files to a trained model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..demo import DemoReport, run_demo
from .output import Jobs, JsonFlag, plural, progress_stages, write_json, write_line, write_table


def command(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for everything; new or empty.", metavar="DIR")
    ] = Path("medimagenet-demo"),
    minutes: Annotated[float, typer.Option(min=0.05, help="Of training.")] = 2.0,
    patients: Annotated[int, typer.Option(min=4, help="How many; three tenths are held out.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the patients and of the training.")] = 0,
    jobs: Jobs = None,
    as_json: JsonFlag = False,
) -> None:
    """Write synthetic patients as DICOM, index them, compile a store, train on it, and draw what the model predicts.

    Nothing is downloaded. Everything lies in one folder at the end.
    """
    with progress_stages() as stage:
        report = run_demo(out, patients=patients, minutes=minutes, seed=seed, jobs=jobs, stage=stage)
    if as_json:
        write_json(report.to_dict())
    else:
        _render(report)


def _render(report: DemoReport) -> None:
    training: Any = report.training
    write_table(
        ["validation Dice", "untrained", "best constant", "trained"],
        [
            [name, *(f"{scores.get(name, float('nan')):.3f}" for scores in _scores(training))]
            for name in training.classes
        ],
    )
    write_line()
    write_line(
        f"{plural(report.patients, 'patient')}, {plural(len(report.compiled.written), 'sample')} compiled, "
        f"{plural(training.steps, 'training step')} in {training.seconds:.0f} s, "
        f"judged on {plural(training.validated, 'patient')} held out"
    )
    write_line()
    write_table(["what", "where"], [[name, path] for name, path in report.files.items()])
    files = report.files
    write_line()
    write_line("look at the predictions and the curve; then try")
    write_line(f"  medimagenet inspect {files['store']} --plot {report.folder / 'store.png'}")
    write_line(f"  medimagenet verify {files['store']}")
    write_line(f"  medimagenet samples {files['index']} --modalities CT,RTSTRUCT")
    write_line(f"or change {files['recipe']} and compile again:")
    write_line(
        f"  medimagenet compile {files['index']} --recipe {files['recipe']} --out {report.folder / 'second.zarr'}"
    )


def _scores(training: Any) -> tuple[dict[str, float], ...]:
    return training.dice_before, training.dice_constant, training.dice_after
