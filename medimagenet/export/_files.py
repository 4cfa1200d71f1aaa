"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import ExportError


@contextmanager
def whole_file(path: Path, *, flush: bool = True) -> Iterator[IO[bytes]]:
    """A file to write into, under a temporary name in the same folder; it gets its name when its bytes are on the disk.

    The folder is made where it is absent. `flush` is False where the caller waits for the disk himself, once for many
    files, before anything relies on them.

    Raises
    ------
    ExportError
        The file cannot be written, for instance on a full disk; what stood at `path` stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}; it was not changed") from error
    finally:
        with suppress(OSError):  # it is gone, or its folder is a file
            temporary.unlink()
