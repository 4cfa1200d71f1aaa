"""hash_files: the names and the bytes of everything below a folder, in one order."""

import hashlib

from medimagenet.store.files import hash_files


def test_names_and_bytes_make_the_hash(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c").write_bytes(b"123")
    (tmp_path / "a").write_bytes(b"")
    lines = [f"a 0 {hashlib.sha256().hexdigest()}\n", f"b/c 3 {hashlib.sha256(b'123').hexdigest()}\n"]
    assert hash_files(tmp_path) == (hashlib.sha256("".join(lines).encode()).hexdigest(), 3)


def test_a_changed_bit_a_new_name_and_a_new_file_change_it(tmp_path):
    found = set()
    (tmp_path / "a").write_bytes(b"x")
    found.add(hash_files(tmp_path))
    (tmp_path / "a").write_bytes(b"y")
    found.add(hash_files(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    found.add(hash_files(tmp_path))
    (tmp_path / "c").write_bytes(b"")
    found.add(hash_files(tmp_path))
    assert len(found) == 4
