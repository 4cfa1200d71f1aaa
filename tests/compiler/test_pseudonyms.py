"""Pseudonyms: the same for the same key, another for another key, and never a way back without it."""

import csv
import hashlib

import pytest

from medimagenet.compiler.pseudonyms import KEY_BYTES, LENGTH, Pseudonyms, user_key, write_private
from medimagenet.errors import StoreError

KEY = bytes(range(KEY_BYTES))


def test_is_the_keyed_hash_of_collection_and_patient():
    expected = hashlib.blake2b(b"lung\0LUNG1-001", key=KEY, digest_size=LENGTH // 2).hexdigest()
    assert Pseudonyms(KEY).of("LUNG1-001", "lung") == f"P{expected}"


def test_depends_on_the_key_and_on_the_collection():
    names = {Pseudonyms(KEY).of("1", "a"), Pseudonyms(KEY).of("1", "b"), Pseudonyms(KEY[::-1]).of("1", "a")}
    assert len(names) == 3


def test_a_clash_is_refused(monkeypatch):
    pseudonyms = Pseudonyms(KEY)
    given = pseudonyms.of("first")
    pseudonyms._given[given] = ("", "somebody else")
    with pytest.raises(StoreError, match=f"two patients have the pseudonym {given}"):
        pseudonyms.of("first")


def test_the_table_leads_back():
    pseudonyms = Pseudonyms(KEY)
    names = {pseudonyms.of(patient, "lung"): patient for patient in ("b", "a", 'with "quotes", and commas')}
    rows = list(csv.DictReader(pseudonyms.to_csv().splitlines()))
    assert {row["pseudonym"]: row["PatientID"] for row in rows} == names
    assert not pseudonyms.is_empty


def test_the_users_key_is_made_once_and_private(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path / "config"))
    key = user_key()
    assert len(key) == KEY_BYTES
    assert user_key() == key
    assert (tmp_path / "config" / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_an_error_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path))
    (tmp_path / "pseudonym.key").write_text("abcd")
    with pytest.raises(StoreError, match="has 2 bytes, expected 32"):
        user_key()
    assert (tmp_path / "pseudonym.key").read_text() == "abcd"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="set MEDIMAGENET_CONFIG_DIR"):
        user_key()


def test_a_private_file_appears_whole(tmp_path):
    write_private(tmp_path / "a" / "b.csv", "text")
    assert (tmp_path / "a" / "b.csv").read_text() == "text"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.csv"]
