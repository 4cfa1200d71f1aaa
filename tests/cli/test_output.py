"""The conventions of every command: JSON that any reader takes, messages on stderr, exit codes."""

import errno
import io
import json
import os
import re
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.cli import output
from medimagenet.cli.output import ExitCode, FailOn
from medimagenet.errors import StoreError
from medimagenet.findings import Severity

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def refuse(name):
    raise ValueError(f"{name} is not JSON (RFC 8259)")


@given(values)
def test_what_is_printed_is_json(value):
    document = output.to_json(value)
    assert json.loads(json.dumps(document, allow_nan=False), parse_constant=refuse) == document


@dataclass
class Point:
    x: float
    where: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(float("nan"), Path("/a")), {"x": None, "where": "/a"}),
        (np.arange(3, dtype=np.int16), [0, 1, 2]),
        (np.float32(1.5), 1.5),
        (np.float64("inf"), None),
        (np.bool_(True), True),
        ({1: (1, 2)}, {"1": [1, 2]}),
        (date(2026, 1, 2), "2026-01-02"),
        (Severity.ERROR, "error"),
        (ExitCode.FINDINGS, 3),
    ],
)
def test_values_that_json_lacks(value, expected):
    assert json.loads(json.dumps(output.to_json(value))) == expected


def test_one_document_on_stdout(capsys):
    output.write_json({"name": "Müller × [bold]"})
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"name": "Müller × [bold]"}
    assert printed.err == ""


def test_a_table_shows_names_as_they_are_and_folds_nothing(capsys):
    name = "[red]GTV (old) :smile: " + "x" * 300
    output.write_table(["roi", "count"], [[name, 12], ["b", None]])
    lines = capsys.readouterr().out.splitlines()
    assert name in lines[2]
    assert lines[2].rstrip().endswith("12")


def test_other_prints_go_to_stderr_while_work_goes_on(capsys):
    with output.progress_bar("working") as progress:
        print("a library says something")
        progress(1, 2)
    print("result")
    printed = capsys.readouterr()
    assert printed.out == "result\n"
    assert printed.err == "a library says something\n"  # and no bar: this is no terminal


def test_a_bar_of_bytes_shows_how_much_how_fast_and_how_long(monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with output.bytes_bar("downloading") as progress:
        progress(1_500_000, 3_000_000)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.getvalue())
    assert re.search(r"downloading .*1.5/3.0 MB (\?|[\d.]+ .?B/s) [\d-]+:[\d-]+", plain)


def test_steps_that_take_long_have_a_bar_of_their_own(monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", shown)
    with output.progress_with_steps("compiling") as (progress, step):
        progress(0, 2)
        step("p-[1]", "N4BiasCorrection", 50, 200)
        during = len(shown.getvalue())
        step("p-[1]", "N4BiasCorrection", 200, 200)
        progress(1, 2)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    assert during > 0
    last = seen.rstrip().splitlines()[-1]
    assert "compiling" in last
    assert "N4BiasCorrection" not in last


def test_stages_are_lines_where_there_is_no_terminal(capsys):
    with output.progress_stages() as stage:
        stage("indexing")(1, 1)
        stage("compiling")(1, 1)
    assert capsys.readouterr().err == "indexing ...\ncompiling ...\n"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (StoreError("no store at [x]"), 1, "error: no store at [x]"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), 1, "error: no space left on device: /a/b: the disk"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"), 1, "error: permission denied: /a/b"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/a/b"), 1, "ulimit -n"),
        (OSError("cut off"), 1, "error: cut off"),
        (MemoryError(), 1, "smaller --jobs"),
        (BrokenProcessPool("a child process terminated abruptly"), 1, "smaller --jobs"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_foreseen_failures_are_a_line_and_a_code(capsys, error, code, says, debug):
    with pytest.raises(typer.Exit) as stop, output.reported_errors(debug=debug):
        raise error
    printed = capsys.readouterr()
    assert stop.value.exit_code == code
    assert printed.out == ""
    assert says in printed.err
    assert ("Traceback" in printed.err) == debug
    assert debug or printed.err.count("\n") == 1


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), output.reported_errors(debug=False):
        raise ZeroDivisionError


def test_a_reader_that_has_gone_is_left_to_typer():
    with pytest.raises(BrokenPipeError), output.reported_errors(debug=False):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize(
    ("severities", "threshold", "fails"),
    [
        (["info", "warning"], None, False),
        (["info", "warning"], FailOn.WARNING, True),
        (["info", "warning"], FailOn.ERROR, False),
        (["error"], FailOn.WARNING, True),
        (["error"], FailOn.ERROR, True),
        (["info"], FailOn.WARNING, False),
    ],
)
def test_fail_on(capsys, severities, threshold, fails):
    if fails:
        with pytest.raises(typer.Exit) as stop:
            output.fail_on(severities, threshold)
        assert stop.value.exit_code == 3
        assert "--fail-on" in capsys.readouterr().err
    else:
        output.fail_on(severities, threshold)


def test_a_wrong_argument_is_wrong_usage():
    with pytest.raises(typer.BadParameter, match="no sample 'x'"), output.wrong_usage():
        raise ValueError("no sample 'x'")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (250e6, "250 MB"), (1.04e9, "1.0 GB"), (1e14, "100.0 TB")],
)
def test_sizes_as_people_read_them(count, text):
    assert output.human_bytes(count) == text
