"""The process in which damaged files are read: ``python -m tests.fuzz.worker``, driven by `guard`.

Takes a line of JSON per check, answers with one. A crash, a hang or too much memory ends this process and not pytest.
"""

import faulthandler
import json
import logging
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path

from medimagenet.errors import MedImageNetError

MEMORY = 4 << 30  # bytes of address space, of which libraries and their threads reserve one or two


def main(timeout: float) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    from tests.fuzz.judges import CHECKS  # before the limit: numba maps much while it loads

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        request = json.loads(line)
        faulthandler.dump_traceback_later(timeout)
        problem = _problem(
            CHECKS[request["check"]], [Path(p) for p in request["damaged"]], [Path(p) for p in request["sound"]]
        )
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(problem) + "\n")
        answers.flush()


def _problem(check, damaged: list[Path], sound: list[Path]) -> str | None:
    try:
        check(damaged, sound)
    except MedImageNetError as error:
        return f"an error where none may be: {type(error).__name__}: {error}"
    except Exception:
        return traceback.format_exc(limit=-6)
    return None


if __name__ == "__main__":
    main(float(sys.argv[1]))
