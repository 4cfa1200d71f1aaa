"""Tokens for NBIA servers that ask for one: old ones and other institutes' (sources.md, 1.5). TCIA's own need none."""

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pydantic

from ..errors import HttpError, SourceError
from .credentials import Credentials
from .http import Client

GUEST = Credentials(user="nbia_guest", password=pydantic.SecretStr(""))
"""Whom servers let in without an account."""

_CLIENT_ID = "NBIA"
_EARLY_S = 60.0  # a token that ends within this time is renewed first: a question may take as long


class TokenLogin:
    """Gets a token by user and password, keeps it in memory alone, renews it before it ends.

    Parameters
    ----------
    client
        Of the server that gives tokens.
    url
        Address of ``oauth/token``.
    credentials
        Whose token; a guest's where None, or where they are for another host.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        credentials: Credentials | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._credentials = credentials if credentials is not None and _may_have(url, credentials) else GUEST
        self._clock = clock
        self._lock = threading.Lock()
        self._access: pydantic.SecretStr | None = None
        self._refresh: pydantic.SecretStr | None = None
        self._ends = 0.0

    def token(self) -> Credentials:
        """A token that is still good for a while.

        Raises
        ------
        SourceError
            The server does not give one: the user or the password is wrong, or it answers something else.
        """
        if self._credentials.token is not None:
            return self._credentials
        with self._lock:
            if self._access is None or self._clock() > self._ends - _EARLY_S:
                self._renew()
            return Credentials(token=self._access)

    def forget(self) -> None:
        """Get a new one next time: the server no longer takes this one."""
        with self._lock:
            self._access = None

    def _renew(self) -> None:
        if self._refresh is not None:
            try:
                self._ask({"grant_type": "refresh_token", "refresh_token": self._refresh.get_secret_value()})
            except HttpError:  # ended too: log in anew
                self._refresh = None
            else:
                return
        password = self._credentials.password
        user = {"username": self._credentials.user or "", "password": password.get_secret_value() if password else ""}
        try:
            self._ask({"grant_type": "password", **user})
        except HttpError as error:
            said = self._credentials.hide_in(str(error))
            raise SourceError(f"{said}; the login as {user['username']!r} failed: check user and password") from None

    def _ask(self, form: dict[str, str]) -> None:
        answer = self._client.post(self._url, data={"client_id": _CLIENT_ID, **form})
        try:
            told = answer.json()
            access, lifetime = told["access_token"], float(told.get("expires_in", 0))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self._url} answered no token: check that it is the address of NBIA's login") from error
        self._access = pydantic.SecretStr(access)
        self._refresh = pydantic.SecretStr(told["refresh_token"]) if told.get("refresh_token") else None
        self._ends = self._clock() + lifetime


def _may_have(url: str, credentials: Credentials) -> bool:
    """Whether the host of an address is the one that credentials are for; any, where they name none."""
    place = urlsplit(url)
    return credentials.host is None or credentials.host.lower() in (place.netloc.lower(), place.hostname)
