"""Parts of the documentation that are made from the package, so that they cannot be out of date.

A line ``<!-- made: NAME -->`` in a page is replaced by what the function of that name in `MAKERS` gives.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from medimagenet.cli.main import COMMANDS
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
    """The help text of every command."""
    program = [sys.executable, "-c", "from medimagenet.cli.main import run; run()"]
    environment = {**os.environ, "TYPER_USE_RICH": "0", "COLUMNS": "100", "NO_COLOR": "1"}
    for name in COMMANDS:
        answer = subprocess.run(
            [*program, name, "--help"], env=environment, capture_output=True, text=True, check=True
        ).stdout
        yield f"## medimagenet {name}\n\n```text\n{answer.strip()}\n```\n"


MAKERS = {"findings": findings, "commands": commands}
