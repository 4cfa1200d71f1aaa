"""Files below a folder as one: the hash that a row of the table keeps of them."""

import hashlib
from pathlib import Path


def hash_files(folder: Path) -> tuple[str, int]:
    """SHA-256 over the names and bytes of all files below a folder, in the order of their names, and their size."""
    stamp, total = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        size = path.stat().st_size
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        stamp.update(f"{name} {size} {content}\n".encode())
        total += size
    return stamp.hexdigest(), total
