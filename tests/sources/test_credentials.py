"""Where credentials come from, in which order, and that they are refused rather than leaked."""

import base64
import traceback

import keyring
import keyring.backend
import keyring.backends.fail
import pytest
from pydantic import SecretStr, ValidationError

from medimagenet._places import config_dir
from medimagenet.errors import SourceError
from medimagenet.sources.credentials import SETTINGS_FILE, Credentials, find_credentials


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self, **secrets):
        self.secrets = secrets

    def get_password(self, service, username):
        return self.secrets.get(username) if service == "medimagenet" else None

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def empty_world(monkeypatch, tmp_path):
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path))
    yield
    keyring.set_keyring(before)


@pytest.fixture
def dicomweb_host(monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_HOST", "pacs.example.org")


def write_settings(text: str, mode: int = 0o600) -> None:
    path = config_dir() / SETTINGS_FILE
    path.write_text(text)
    path.chmod(mode)


def test_nobody_has_any():
    assert find_credentials("tcia") is None
    write_settings("other_section: {a: 1}\n")
    assert find_credentials("tcia") is None
    write_settings("")
    assert find_credentials("tcia") is None


def test_environment_before_keyring_before_settings(dicomweb_host, monkeypatch):
    write_settings("credentials:\n  dicomweb: {token: from-settings}\n")
    assert find_credentials("dicomweb").header() == "Bearer from-settings"
    keyring.set_keyring(Ring(dicomweb="from-keyring"))
    assert find_credentials("dicomweb").header() == "Bearer from-keyring"
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_TOKEN", "from-environment")
    assert find_credentials("dicomweb").header() == "Bearer from-environment"
    assert find_credentials("tcia") is None


def test_user_and_password_are_basic(monkeypatch):
    expected = "Basic " + base64.b64encode("reader:a:ä".encode()).decode()
    monkeypatch.setenv("MEDIMAGENET_MY_PACS_USER", "reader")
    monkeypatch.setenv("MEDIMAGENET_MY_PACS_PASSWORD", "a:ä")
    monkeypatch.setenv("MEDIMAGENET_MY_PACS_HOST", "pacs.example.org")
    found = find_credentials("my-pacs")
    assert (found.header(), found.host) == (expected, "pacs.example.org")
    keyring.set_keyring(Ring(tcia="reader:a:ä"))
    assert find_credentials("tcia").header() == expected


@pytest.mark.parametrize("place", ["environment", "keyring", "settings"])
def test_credentials_that_belong_to_no_host_are_an_error_that_names_the_variable(place, monkeypatch):
    if place == "environment":
        monkeypatch.setenv("MEDIMAGENET_MY_PACS_TOKEN", "SECRET")
    elif place == "keyring":
        keyring.set_keyring(Ring(**{"my-pacs": "reader:SECRET"}))
    else:
        write_settings("credentials:\n  my-pacs: {token: SECRET}\n")
    with pytest.raises(SourceError, match=r"no host.*MEDIMAGENET_MY_PACS_HOST") as caught:
        find_credentials("my-pacs")
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("MEDIMAGENET_MY_PACS_HOST", "pacs.example.org:8042")
    assert find_credentials("my-pacs").host == "pacs.example.org:8042"


def test_a_host_beside_them_goes_before_the_variable(monkeypatch):
    write_settings("credentials:\n  dicomweb: {token: SECRET, host: here.example.org}\n")
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_HOST", "there.example.org")
    assert find_credentials("dicomweb").host == "here.example.org"


@pytest.mark.parametrize(
    ("service", "host"),
    [("zenodo", "zenodo.org"), ("huggingface", "huggingface.co"), ("tcia", "nbia.cancerimagingarchive.net")],
)
def test_services_of_one_server_have_its_host(service, host, monkeypatch):
    prefix = f"MEDIMAGENET_{service.upper()}"
    monkeypatch.delenv(f"{prefix}_URL", raising=False)
    monkeypatch.setenv(f"{prefix}_TOKEN", "SECRET")
    assert find_credentials(service).host == host
    monkeypatch.setenv(f"{prefix}_URL", "https://me:x@mirror.example.org:444/api/")
    assert find_credentials(service).host == "mirror.example.org:444"
    monkeypatch.setenv(f"{prefix}_HOST", "other.example.org")
    assert find_credentials(service).host == "other.example.org"


def test_a_password_without_a_user_is_an_error(monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_TCIA_PASSWORD", "SECRET")
    with pytest.raises(SourceError, match="MEDIMAGENET_TCIA_USER is not") as caught:
        find_credentials("tcia")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_file_that_others_may_read_is_refused(mode):
    write_settings("credentials:\n  tcia: {token: SECRET}\n", mode)
    with pytest.raises(SourceError, match="chmod 600"):
        find_credentials("tcia")
    assert find_credentials("idc") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("credentials:\n  tcia: {token: SECRET, pasword: SECRET}\n", "pasword: Extra inputs"),
        ("credentials:\n  tcia: {}\n", "a token, or a user and a password"),
        ("credentials:\n  tcia: {token: SECRET, user: a}\n", "a token, or a user and a password"),
        ("credentials:\n  tcia: SECRET\n", "tcia: Input should be"),
        ("- SECRET\n", "Input should be"),
        ("credentials:\n  tcia: {token: 'SECRET\n", "line . is not YAML"),
    ],
)
def test_a_wrong_file_is_an_error_that_repeats_nothing_of_it(text, message):
    write_settings(text)
    with pytest.raises(SourceError, match=message) as caught:
        find_credentials("tcia")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_no_text_is_an_error():
    (config_dir() / SETTINGS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="cannot be read: UnicodeDecodeError"):
        find_credentials("tcia")


def test_no_form_of_a_value_shows_the_secret():
    for credentials in (Credentials(token=SecretStr("SECRET")), Credentials(user="u", password=SecretStr("SECRET"))):
        shown = f"{credentials} {credentials!r} {[credentials]} {credentials.model_dump()} {vars(credentials)}"
        assert "SECRET" not in shown + credentials.model_dump_json()
    with pytest.raises(ValidationError) as caught:
        Credentials(token=SecretStr("SECRET"), pasword="SECRET")
    assert "SECRET" not in str(caught.value)


def test_a_text_that_repeats_the_secret_is_masked():
    credentials = Credentials(user="u", password=SecretStr("SECRET"))
    assert credentials.hide_in(f"no: {credentials.header()}, SECRET") == "no: Basic ***, ***"
