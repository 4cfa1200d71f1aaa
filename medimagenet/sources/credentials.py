"""Who we are to a service that asks: a token, or a user and a password, from where the user keeps them.

They are looked for in this order:

1. environment: ``MEDIMAGENET_<SERVICE>_TOKEN``, or ``MEDIMAGENET_<SERVICE>_USER`` and ``..._PASSWORD``;
2. the system's keyring, entry ``medimagenet`` / service: a token, or ``user:password`` (a token has no colon: RFC 6750,
   2.1); stored by ``keyring set medimagenet SERVICE``;
3. ``settings.yaml`` in the config folder, which only its owner may read::

       credentials:
         dicomweb: {user: reader, password: "...", host: pacs.example.org}
         huggingface: {token: "..."}

They go to one host alone, which the user has named and no index: ``host`` beside them in the settings file, else
``MEDIMAGENET_<SERVICE>_HOST``, else that of `SERVERS`. Credentials that belong to no host are an error.
"""

import base64
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

import keyring
import keyring.errors
import pydantic
import yaml

from .._places import config_dir
from ..errors import SourceError

SETTINGS_FILE = "settings.yaml"
SERVERS = {
    "huggingface": ("MEDIMAGENET_HUGGINGFACE_URL", "https://huggingface.co"),
    "tcia": ("MEDIMAGENET_TCIA_URL", "https://nbia.cancerimagingarchive.net"),
    "zenodo": ("MEDIMAGENET_ZENODO_URL", "https://zenodo.org"),
}
"""Services of one server: the variable that names another one, and where it is by default."""

_HIDDEN = "***"


class Credentials(pydantic.BaseModel):
    """A token, or a user and a password."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: pydantic.SecretStr | None = None
    user: str | None = None
    password: pydantic.SecretStr | None = None
    host: str | None = None
    """The only one that gets them, such as ``pacs.example.org`` or ``pacs.example.org:8042``; None: the server of the
    client that they are given to."""

    @pydantic.model_validator(mode="after")
    def _one_of_two(self) -> "Credentials":
        if (self.token is None) == (self.user is None):
            raise ValueError("credentials are a token, or a user and a password")
        return self

    def header(self) -> str:
        """Value of the header ``Authorization`` (RFC 6750, RFC 7617). For the request alone: it is the secret."""
        if self.token is not None:
            return f"Bearer {self.token.get_secret_value()}"
        pair = f"{self.user}:{self._password()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def hide_in(self, text: str) -> str:
        """`text` with stars where it repeats the secret, as some servers do in what they refuse."""
        secrets = [self.header().partition(" ")[2], self._password(), self.token and self.token.get_secret_value()]
        for secret in secrets:
            text = text.replace(secret, _HIDDEN) if secret else text
        return text

    def __repr__(self) -> str:
        return f"Credentials({'token' if self.token is not None else 'user and password'}, host={self.host!r})"

    __str__ = __repr__

    def _password(self) -> str:
        return self.password.get_secret_value() if self.password is not None else ""


class _Settings(pydantic.BaseModel):
    """What we read of the settings file; other sections are for others."""

    model_config = pydantic.ConfigDict(extra="ignore", hide_input_in_errors=True)

    credentials: dict[str, Credentials] = {}


def find_credentials(service: str) -> Credentials | None:
    """Credentials of a service and the host they are for, None where the user has none: public data need none.

    Parameters
    ----------
    service
        Such as "dicomweb"; in names of variables in capitals.

    Raises
    ------
    SourceError
        The settings file may be read by others, or is not what it should be; half of a pair is in the environment; the
        user has not said for which host they are.
    """
    found = _from_environment(service) or _from_keyring(service) or _from_settings(service)
    if found is None or found.host:
        return found
    variable = f"{_prefix(service)}_HOST"
    host = os.environ.get(variable) or urlsplit(server_url(service)).netloc.rpartition("@")[2]
    if not host:
        raise SourceError(
            f"there are credentials for {service}, and no host that they are for: set {variable} to the only one that "
            "may get them, such as pacs.example.org or pacs.example.org:8042; an index may name any host"
        )
    return found.model_copy(update={"host": host})


def server_url(service: str) -> str:
    """Where a service of `SERVERS` is, as the environment says or by default; empty for others."""
    variable, address = SERVERS.get(service, ("", ""))
    return (os.environ.get(variable) or address).rstrip("/")


def _prefix(service: str) -> str:
    return f"MEDIMAGENET_{service.upper().replace('-', '_')}"


def _from_environment(service: str) -> Credentials | None:
    prefix = _prefix(service)
    values = {key: os.environ.get(f"{prefix}_{key.upper()}") or None for key in ("token", "user", "password")}
    if values["token"]:
        return Credentials(token=pydantic.SecretStr(values["token"]))
    if values["user"]:
        return Credentials(user=values["user"], password=pydantic.SecretStr(values["password"] or ""))
    if values["password"]:
        raise SourceError(f"{prefix}_PASSWORD is set and {prefix}_USER is not: set both, or {prefix}_TOKEN")
    return None


def _from_keyring(service: str) -> Credentials | None:
    try:
        secret = keyring.get_password("medimagenet", service)
    except keyring.errors.KeyringError:  # a server without a desktop has none
        return None
    if not secret:
        return None
    user, colon, password = secret.partition(":")
    if colon:
        return Credentials(user=user, password=pydantic.SecretStr(password))
    return Credentials(token=pydantic.SecretStr(secret))


def _from_settings(service: str) -> Credentials | None:
    path = config_dir() / SETTINGS_FILE
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    settings = _read_settings(path)
    found = settings.credentials.get(service)
    if found is not None and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SourceError(f"{path} holds credentials and may be read by other users: chmod 600 {path}")
    return found


def _read_settings(path: Path) -> _Settings:
    """The file. Errors say where it is wrong and repeat nothing of it."""
    try:
        return _Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise SourceError(f"{path}{place} is not YAML: correct it") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SourceError(f"{path}: {place}: {first['msg']}; see the docs, Download, Credentials") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {type(error).__name__}") from None
