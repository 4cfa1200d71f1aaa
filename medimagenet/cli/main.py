"""The `medimagenet` program: which commands there are, and how each is found when it is asked for.

Commands are named by string in `COMMANDS`, and the module of one is imported when that command runs. So neither
``medimagenet --help`` nor ``medimagenet samples`` waits for the compiler, numba or torch.
"""

import gc
import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .._version import __version__
from .output import reported_errors

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (".demo", "Synthetic patients, through every stage, to a trained model: about three minutes."),
    "doctor": (".doctor", "What works on this machine, what is missing, and how to get it."),
    "search": (".search", "Find series in the public index, offline, and in your own."),
    "collections": (".collections", "What is public: patients, sizes, licences, citations."),
    "download": (".download", "Fetch series: planned first, resumed where it stopped, every file checked."),
    "update": (".update", "Newer versions of the public index, its side indices, and which one is opened."),
    "cohort": (".cohort", "What a question would bring, before a byte is downloaded: patients, bytes, licences."),
    "unpack": (".unpack", "Unpack zips and tars that you have, without trusting what is in them."),
    "index": (".index", "Read a folder of DICOM, or what a source lists, into one Parquet table."),
    "samples": (".samples", "Series that belong together, for example each CT with its RTSTRUCT."),
    "rois": (".rois", "Names of regions over a cohort, and what a recipe would take of them."),
    "compile": (".compile", "Decode and preprocess samples into a store that training reads."),
    "convert": (".convert", "Write NIfTI, HDF5 or nnU-Net raw from DICOM, an index or a store."),
    "recipe-schema": (".recipe_schema", "The JSON schema of recipes, for editors."),
    "inspect": (".inspect", "What is in a store, as a table and as a picture."),
    "bench": (".bench", "How many patches a second this machine loads from a store, and where the time goes."),
    "verify": (".verify", "Read every byte of a store and compare it with its hashes."),
}
"""Per command the module that holds its `command` function, and the line that ``--help`` shows. In help's order."""

CONTEXT = {"help_option_names": ["-h", "--help"]}


class LazyCommands(TyperGroup):
    """The group of `COMMANDS`. Help and completion see only names and lines; running one imports its module."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with, and import it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, (_load(name) if name in COMMANDS else found), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it raises becomes a message and an exit code."""
        with reported_errors(debug=ctx.params["debug"]):
            return super().invoke(ctx)


def _load(name: str) -> Any:
    gc.disable()  # nothing of modules is garbage: looking for it takes a tenth of the time of a short command
    try:
        module = importlib.import_module(COMMANDS[name][0], __package__)
    finally:
        gc.freeze()
        gc.enable()
    single = typer.Typer(add_completion=False, context_settings=CONTEXT)
    single.command(name)(module.command)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyCommands,
    context_settings=CONTEXT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but with findings that --fail-on names.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"medimagenet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MEDIMAGENET_DEBUG", help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From public scans and your own DICOM to batches a GPU never waits for."""


def run() -> None:
    """Entry point of the console script."""
    app(prog_name="medimagenet")
