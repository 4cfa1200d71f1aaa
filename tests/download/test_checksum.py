"""Checksums, beside those of the standard library."""

import hashlib

import google_crc32c
import pytest

from medimagenet.download.checksum import BLOCK, file_checksum, kind_of, new_digest, same
from medimagenet.errors import SourceError


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1])
def test_files_of_any_length(tmp_path, size):
    body = b"x" * size
    (tmp_path / "a").write_bytes(body)
    assert file_checksum(tmp_path / "a") == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert file_checksum(tmp_path / "a", "md5") == f"md5:{hashlib.md5(body).hexdigest()}"
    assert file_checksum(tmp_path / "a", "crc32c") == f"crc32c:{google_crc32c.Checksum(body).digest().hex()}"


def test_crc32c_of_the_check_value():
    digest = new_digest("crc32c")
    digest.update(b"123456789")
    assert digest.digest().hex() == "e3069283"  # RFC 3720, B.4, and every catalogue of CRCs


def test_kinds():
    assert (kind_of("MD5:ab"), kind_of(None), kind_of("")) == ("md5", "sha256", "sha256")
    assert same("md5:AB", " md5:ab") and not same("md5:ab", "md5:ac")
    with pytest.raises(SourceError, match="'rot13'; known are md5"):
        new_digest("rot13")
