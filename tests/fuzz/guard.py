"""Runs checks of `judges` in a process that may crash, hang or run out of memory, and says so."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0  # a kernel may have to be compiled for a type that no other test meets


class Guard:
    """A worker that is started again when it dies. Use as a context."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "stderr"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def check(self, name: str, damaged: Sequence[Path], sound: Sequence[Path], timeout: float = TIMEOUT_S) -> str:
        """What is wrong, empty where all is well."""
        process = self._running()
        request = {"check": name, "damaged": list(map(str, damaged)), "sound": list(map(str, sound))}
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], timeout)
        answer = process.stdout.readline() if ready else ""
        if answer:
            return json.loads(answer) or ""
        code = process.poll() if not ready else process.wait()
        self._stop()
        what = f"hangs for more than {timeout} s" if not ready else f"crash, exit status {code}"
        return f"{what}\n{self._log.read_text(errors='replace')[-3000:]}"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            threads = dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.fuzz.worker", str(TIMEOUT_S - 5)],
                    cwd=ROOT,
                    env={**os.environ, **threads},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
