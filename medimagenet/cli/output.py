"""What every command keeps to: where text goes, how errors read, which exit code means what.

- stdout is for the result: a table for people or, with ``--json``, exactly one JSON document (RFC 8259: no NaN) and
  nothing on failure. Progress, logs and errors go to stderr; progress bars only when stderr is a terminal.
- Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but with findings that the user asked to fail on, 130 interrupted.
- A failure that the library foresees is one line, ``error: ...``. ``--debug`` shows its traceback. Anything else is a
  bug, and its traceback is always shown.
"""

import contextlib
import dataclasses
import errno
import json
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from ..errors import MedImageNetError

Progress = Callable[[int, int], None]
"""Called by the library with how much is done, and of how much."""

StepProgress = Callable[[str, str, int, int], None]
"""Called with a sample, what is done to it, how much of that is done, and of how much."""

PIPE_WIDTH = 4096  # columns of a table that goes to a file or a pipe: wide enough that no line is folded

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of tables.")]
AcceptLicense = Annotated[
    list[str] | None,
    typer.Option("--accept-license", help="Agreement that you have signed and keep to. Repeat it for several."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes; as many as there are cores when not given.")
]


class ExitCode(IntEnum):
    """What the program's exit status says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    FINDINGS = 3
    INTERRUPTED = 130


class FailOn(StrEnum):
    """Severity from which findings make a finished command exit with 3."""

    WARNING = "warning"
    ERROR = "error"


FailOnOption = Annotated[
    FailOn | None, typer.Option("--fail-on", help="Exit with 3 when there are findings of this severity or worse.")
]


# ---- results, on stdout


def write_json(document: Any) -> None:
    """Print `document` as JSON. What JSON lacks is mapped: NaN and infinities to null, paths and dates to text."""
    print(json.dumps(to_json(document), indent=2, ensure_ascii=False, allow_nan=False))


def to_json(value: Any) -> Any:
    """The nearest value of dicts with text keys, lists, text, finite numbers, booleans and None."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [to_json(item) for item in value]
    return to_json(value.item()) if hasattr(value, "item") else str(value)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table. Columns whose values are all numbers are set flush right; None is an empty cell."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, name in enumerate(columns):
        numeric = all(isinstance(row[position], int | float | None) for row in rows)
        table.add_column(name, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*["" if cell is None else str(cell) for cell in row])
    _console().print(table)


def write_line(text: str = "") -> None:
    """Print a line of the result for people."""
    _console().print(text, soft_wrap=True)


def plural(number: int, noun: str) -> str:
    """ "1 sample", "2 samples"; "series" stays as it is."""
    return f"{number} {noun}{'' if number == 1 or noun.endswith('s') else 's'}"


def human_bytes(count: float) -> str:
    """A size as a person reads it: 0 B, 1.5 MB (decimal prefixes, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _console() -> Console:
    """A console of stdout that takes brackets in ROI names as text, not as markup."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(markup=False, highlight=False, emoji=False, width=width)


# ---- progress and messages, on stderr


def write_note(text: str) -> None:
    """Print a line beside the result, on stderr."""
    Console(stderr=True, markup=False, highlight=False, emoji=False).print(text, soft_wrap=True)


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A progress callback, drawn on stderr when that is a terminal.

    While it is open, whatever other libraries print on stdout goes to stderr, so that the result stays alone there.
    """
    with _bars() as bars:
        yield _new_bar(bars, label)


@contextlib.contextmanager
def progress_with_steps(label: str) -> Iterator[tuple[Progress, StepProgress]]:
    """As `progress_bar`, and a second callback: a bar below it for each step that takes long, while it lasts."""
    with _bars() as bars:
        below: dict[tuple[str, str], TaskID] = {}
        lock = threading.Lock()

        def tell(sample: str, step: str, done: int, total: int) -> None:
            with lock:
                key = (sample, step)
                if key not in below:
                    below[key] = bars.add_task(escape(f"  {step}, {sample}"), total=total)
                bars.update(below[key], completed=done, total=total)
                if done >= total:
                    bars.remove_task(below.pop(key))

        yield _new_bar(bars, label), tell


@contextlib.contextmanager
def bytes_bar(label: str) -> Iterator[Progress]:
    """As `progress_bar`, of bytes: with how many, how fast, and how long it will take."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with _bars(columns) as bars:
        yield _new_bar(bars, label)


@contextlib.contextmanager
def progress_stages() -> Iterator[Callable[[str], Progress]]:
    """For work in several stages: a function that takes what begins now and gives its progress callback.

    Where stderr is no terminal there is no bar, and each stage is a line there.
    """
    with _bars() as bars:

        def begin(label: str) -> Progress:
            if bars.disable:
                write_note(f"{label} ...")
            return _new_bar(bars, label)

        yield begin


@contextlib.contextmanager
def _bars(columns: Sequence[ProgressColumn] = ()) -> Iterator[Bars]:
    columns = columns or (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    with contextlib.redirect_stdout(sys.stderr), bars:
        yield bars


def _new_bar(bars: Bars, label: str) -> Progress:
    task = bars.add_task(label, total=None)
    return lambda done, total: bars.update(task, completed=done, total=total)


def severities(counted: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The severity of each finding in rows of code, severity and count."""
    for row in counted:
        yield from [row["severity"]] * row["count"]


def fail_on(severities: Iterable[str], threshold: FailOn | None) -> None:
    """End with exit code 3 when severities reach the threshold that the user named.

    Raises
    ------
    typer.Exit
        With code 3, after a line on stderr that says how many findings there are.
    """
    if threshold is None:
        return
    counted = {FailOn.ERROR: ("error",), FailOn.WARNING: ("warning", "error")}[threshold]
    number = sum(severity in counted for severity in severities)
    if number:
        worse = " or ".join(counted)
        write_note(f"{plural(number, 'finding')} of severity {worse} (--fail-on {threshold}): exit code 3")
        raise typer.Exit(ExitCode.FINDINGS)


# ---- failures


@contextlib.contextmanager
def reported_errors(*, debug: bool) -> Iterator[None]:
    """Turn foreseen failures into a line on stderr and an exit code.

    Raises
    ------
    typer.Exit
        With the exit code, after the message.
    """
    try:
        yield
    except KeyboardInterrupt:
        _fail("interrupted", ExitCode.INTERRUPTED, debug=debug)
    except MedImageNetError as error:
        _fail(str(error), ExitCode.FAILED, debug=debug)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # the reader of our output has gone, as in `| head`: typer ends quietly
        _fail(_describe(error), ExitCode.FAILED, debug=debug)
    except MemoryError:
        _fail("out of memory: try again with a smaller --jobs", ExitCode.FAILED, debug=debug)
    except BrokenExecutor:
        _fail(
            "a worker process was ended from outside, most often for want of memory: try again with a smaller --jobs",
            ExitCode.FAILED,
            debug=debug,
        )


@contextlib.contextmanager
def wrong_usage() -> Iterator[None]:
    """Around a call whose ValueError means that the user's arguments are wrong: exit code 2.

    Raises
    ------
    typer.BadParameter
        In place of the ValueError, with its message.
    """
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _describe(error: OSError) -> str:
    """What the system refused, for which file, and what helps."""
    place = f": {error.filename}" if error.filename is not None else ""
    reason = (error.strerror or str(error)).rstrip(".")
    text = f"{reason[:1].lower()}{reason[1:]}{place}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{text}: the disk is full; free some space, or write to another disk, and run the command again"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f'{text}: raise the limit ("ulimit -n 4096") or use a smaller --jobs'
    return text


def _fail(message: str, code: ExitCode, *, debug: bool) -> None:
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if debug:
        console.print_exception(show_locals=False)
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)
