"""The program itself, mostly as a process: what it loads, what it prints where, what it returns."""

import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from medimagenet._version import __version__
from medimagenet.cli import main


def medimagenet(*arguments, **settings):
    program = [sys.executable, "-c", "from medimagenet.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, **settings)


def loaded_by(*arguments):
    program = (
        "import sys, runpy\nfrom medimagenet.cli.main import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    return set(answer.stderr.split())


def test_help_imports_no_command():
    loaded = loaded_by("--help")
    for heavy in ("numba", "torch", "pyarrow", "pydicom", "matplotlib", "numpy", "medimagenet.index"):
        assert heavy not in loaded


def test_a_command_imports_what_it_needs_only():
    loaded = loaded_by("doctor", "--help")
    assert "medimagenet.cli.doctor" in loaded
    assert not {"medimagenet.cli.compile", "torch", "numba"} & loaded


def test_help_lists_every_command_with_its_line():
    shown = " ".join(CliRunner().invoke(main.app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    for name, (_, line) in main.COMMANDS.items():
        assert f"{name} {line}" in shown


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_json_and_a_short_file(name):
    module = importlib.import_module(main.COMMANDS[name][0], main.__package__)
    assert len(inspect.getsource(module).splitlines()) < 150
    answer = CliRunner().invoke(main.app, [name, "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    assert "--json" in answer.stdout
    assert inspect.getdoc(module.command).splitlines()[0] in answer.stdout


def test_version():
    answer = medimagenet("--version")
    assert (answer.returncode, answer.stdout) == (0, f"medimagenet {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inxed"], "Did you mean 'index'"),
        (["index"], "Missing argument"),
        (["index", "."], "--out"),
        (["index", ".", "-o", "x.parquet", "--jobs", "0"], "--jobs"),
        (["compile", "x.parquet", "--wrong"], "No such option"),
        (["verify", "a", "b"], "unexpected extra argument"),
        (["inspect", "a", "--fail-on", "blood"], "blood"),
    ],
)
def test_wrong_usage_is_2(arguments, says):
    answer = CliRunner().invoke(main.app, arguments, env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert says in answer.stderr
    assert answer.stdout == ""


def test_a_failure_is_1_and_one_line_on_stderr(tmp_path):
    answer = medimagenet("verify", tmp_path / "none.zarr", "--json")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: there is no store at")
    assert answer.stderr.count("\n") == 1
    again = medimagenet("verify", tmp_path / "none.zarr", env={**os.environ, "MEDIMAGENET_DEBUG": "1"})
    assert again.returncode == 1
    assert "Traceback" in again.stderr


def test_json_is_alone_on_stdout(tmp_path):
    answer = medimagenet("doctor", "--json", "--folder", tmp_path)
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["ready"] is True


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    program = f"{sys.executable} -c 'from medimagenet.cli.main import run; run()' --help | head -1"
    answer = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert "Traceback" not in answer.stderr


def test_interrupting_is_130_without_traceback(tmp_path):
    code = (
        "import signal, time, medimagenet.cli.doctor as d\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells let background jobs ignore it
        "def wait(folder): print('ready', flush=True); time.sleep(30)\n"
        "d.examine = wait\n"
        "from medimagenet.cli.main import run; run()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "error: interrupted\n"
