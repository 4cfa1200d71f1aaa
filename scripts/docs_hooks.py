"""Parts of the documentation that are made from the package, so that they cannot be out of date.

A line ``<!-- made: NAME -->`` in a page is replaced by what the function of that name in `MAKERS` gives.
"""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperArgument

from medimagenet.cli import main
from medimagenet.findings import SEVERITY

MARK = re.compile(r"^<!-- made: (?P<name>\w+) -->$", flags=re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return MARK.sub(lambda match: "\n".join(MAKERS[match["name"]]()), markdown)


def findings() -> Iterator[str]:
    """A table of all codes."""
    yield "| code | severity |"
    yield "|---|---|"
    for code, severity in SEVERITY.items():
        yield f"| `{code}` | {severity} |"


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    group: Any = typer.main.get_command(main.app)
    for name in main.COMMANDS:
        _, command, _ = group.resolve_command(typer.Context(group), [name])
        if not hasattr(command, "get_usage"):
            continue
        context = typer.Context(command, info_name=f"medimagenet {name}")
        yield f"## medimagenet {name}"
        yield ""
        yield from (command.help or "").splitlines()
        yield ""
        yield f"```text\n{command.get_usage(context)}\n```"
        yield ""
        yield "| argument | meaning |"
        yield "|---|---|"
        for parameter in command.params:
            yield _row(parameter, context)
        yield ""


def _row(parameter: Any, context: Any) -> str:
    if isinstance(parameter, TyperArgument):
        name, text = parameter.make_metavar(context), parameter.help or ""
    else:
        name, text = parameter.get_help_record(context) or (parameter.name, "")
    cells = [" ".join(str(cell).split()).replace("|", "\\|") for cell in (name, text)]
    return f"| `{cells[0]}` | {cells[1]} |"


MAKERS = {"findings": findings, "commands": commands}
