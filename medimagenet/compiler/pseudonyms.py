"""Pseudonyms: what a store calls a patient whose data are the user's own.

A pseudonym is a keyed hash (BLAKE2b) of collection and PatientID. The key is made once per user and kept in the
user's configuration folder, so that the same patient has the same pseudonym in every store of that user, and nobody
else can find the name back by trying IDs. It never enters a store.
"""

import csv
import hashlib
import io
import os
import secrets
import tempfile
from pathlib import Path

from .._places import CONFIG_VARIABLE, config_dir
from ..errors import StoreError

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
LENGTH = 10  # hex digits: 2**40 values, a clash among a million patients has a chance of 0.4; clashes are refused


class Pseudonyms:
    """Gives pseudonyms and remembers which it gave.

    Raises
    ------
    StoreError
        From `of`: two patients got the same pseudonym.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._given: dict[str, tuple[str, str]] = {}

    def of(self, patient_id: str, collection_id: str = "") -> str:
        """The pseudonym of a patient, the same for the same key."""
        identity = (collection_id, patient_id)
        digest = hashlib.blake2b("\0".join(identity).encode(), key=self._key, digest_size=LENGTH // 2)
        pseudonym = f"P{digest.hexdigest()}"
        if self._given.setdefault(pseudonym, identity) != identity:
            raise StoreError(f"two patients have the pseudonym {pseudonym}: keep the patient IDs, or use another key")
        return pseudonym

    @property
    def is_empty(self) -> bool:
        """Whether none was given: all data are public."""
        return not self._given

    def to_csv(self) -> str:
        """The table that leads back: pseudonym, collection_id, PatientID. It belongs to whoever may know both."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["pseudonym", "collection_id", "PatientID"])
        writer.writerows([name, *identity] for name, identity in sorted(self._given.items()))
        return text.getvalue()


def user_key() -> bytes:
    """The user's key, made at first use; readable by the user alone.

    Raises
    ------
    StoreError
        The configuration folder cannot be written, or the key file is not a key.
    """
    path = config_dir() / KEY_FILE
    if not path.exists():
        try:
            write_private(path, secrets.token_hex(KEY_BYTES))
        except OSError as error:
            raise StoreError(
                f"cannot keep the key for patient pseudonyms at {path}: {error.strerror}; set {CONFIG_VARIABLE} to "
                "a folder that can be written, or keep the original patient IDs"
            ) from error
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise StoreError(f"the key for patient pseudonyms at {path} cannot be read: {error}") from error
    if len(key) != KEY_BYTES:
        raise StoreError(f"the key for patient pseudonyms at {path} has {len(key)} bytes, expected {KEY_BYTES}")
    return key


def write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp: mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def key_table_path(store: Path) -> Path:
    """Where the table of pseudonyms of a store lies: beside it, never inside."""
    return store.with_name(f"{store.name}.patients.csv")
