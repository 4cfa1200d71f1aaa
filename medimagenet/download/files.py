"""Small files that are there whole or not at all."""

import json
import os
import threading
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write under a temporary name beside `path`, flush to the disk, then rename."""
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_whole(path, json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote; nothing where there is no such file, or it is something else."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
