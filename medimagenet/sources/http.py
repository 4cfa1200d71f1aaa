"""HTTP as the archives like it: few connections, back-off, their ``Retry-After``, and errors that say what failed.

Neither errors nor logs carry credentials, values of a query (which may be signatures or PatientIDs) or patients' names.
"""

import datetime
import email.utils
import functools
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter

from .._version import __version__
from ..errors import HttpError, SourceError, UnreachableError
from .credentials import Credentials

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Status codes that may be others a moment later."""

_WORDS = 200  # characters of a body that an error repeats: a sentence of a server, not a page of HTML


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a service is treated."""

    connections: int = 8
    """Open to one host at a time. What archives ask of clients (TCIA Data Retriever)."""
    pause_s: float = 0.0
    """Least time between the starts of two requests of this process, however many clients it has."""
    attempts: int = 5
    """Of one request, the first included."""
    backoff_s: float = 1.0
    """Wait before the second attempt; doubled before each further one, and shortened at random by up to a half."""
    longest_wait_s: float = 300.0
    """A ``Retry-After`` above it is an error: the user should know, rather than look at a bar that stands still."""
    connect_s: float = 10.0
    read_s: float = 60.0
    """Longest silence of a server in the middle of an answer."""

    def __post_init__(self) -> None:
        if self.connections < 1 or self.attempts < 1:
            raise ValueError(f"at least one connection and one attempt, got {self.connections} and {self.attempts}")


LIMITS: dict[str, Limits] = {
    "idc": Limits(connections=32),  # object storage of two clouds: made for it, and free of charge
    "tcia": Limits(pause_s=0.5, attempts=4, backoff_s=10.0, read_s=300.0),  # the defaults of TCIA's own retriever
    "zenodo": Limits(connections=2, pause_s=1.0),  # guests: 60 requests a minute
    "huggingface": Limits(connections=4),
    "dicomweb": Limits(connections=4, read_s=300.0),  # a hospital's archive also serves its clinic
}
"""Per service; others are treated by the defaults."""


class _Gate:
    """When the next request to a service may start. Shared by all clients of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, pause_s: float, sleep: Callable[[float], None]) -> None:
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + pause_s
        if start > now:
            sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Nobody starts before that: a server that asks one of us to wait means all."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


_gates: dict[str, _Gate] = {}
_gates_lock = threading.Lock()


class Client:
    """A session with one service, for any number of threads.

    Parameters
    ----------
    service
        Whose `LIMITS` apply, such as "tcia"; named in errors.
    base_url
        What addresses without a host begin with.
    credentials
        As `find_credentials` gives them. Only `Credentials.host` gets them or, where that is None, the host of
        `base_url`; without either nobody.
    limits
        In place of those of `LIMITS`.
    sleep
        For tests.
    """

    def __init__(
        self,
        service: str,
        *,
        base_url: str = "",
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.limits = limits or LIMITS.get(service, Limits())
        self._base_url = base_url.rstrip("/")
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"medimagenet/{__version__}"
        self._session.trust_env = False  # it would look at 40 variables and ~/.netrc at each request; see _environment
        self._authorize = _Authorization(credentials, urlsplit(self._base_url).netloc)
        # blocks rather than opens more: whoever streams has to close what it does not read to the end
        adapter = HTTPAdapter(pool_maxsize=self.limits.connections, pool_block=True)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        with _gates_lock:
            self._gate = _gates.setdefault(service, _Gate())

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Ask for `url`. With `stream` the caller reads the body, or closes the answer.

        Raises
        ------
        HttpError
            The server refused, after all attempts; `status` says how.
        UnreachableError
            There was no answer after all attempts.
        SourceError
            The server wants us to wait for too long.
        """
        return self._ask("GET", url, params=params, headers=headers, stream=stream)

    def post(
        self,
        url: str,
        *,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send a form. It is sent again like a `get`: the archives use POST for long questions, not for changes.

        Raises
        ------
        HttpError, UnreachableError, SourceError
            As `get`.
        """
        return self._ask("POST", url, data=data, headers=headers, stream=stream)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.service!r}, base_url={public_address(self._base_url)!r})"

    def _ask(self, method: str, url: str, **settings: Any) -> requests.Response:
        url = url if "://" in url else f"{self._base_url}/{url.lstrip('/')}"
        for attempt in range(1, self.limits.attempts + 1):
            self._gate.wait(self.limits.pause_s, self._sleep)
            answer = self._once(method, url, settings)
            if isinstance(answer, requests.Response) and answer.status_code < 400:
                return answer
            again = attempt < self.limits.attempts
            if isinstance(answer, requests.RequestException):
                if not again or not _passing(answer):
                    raise self._unanswered(url, answer, attempt) from None  # its own text holds the query
                self._sleep(self._backoff(attempt))
                continue
            error = self._refused(url, answer, attempt)
            if not again or answer.status_code not in RETRIED:
                raise error
            self._wait_as_told(answer, attempt, error)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, method: str, url: str, settings: dict[str, Any]) -> requests.Response | requests.RequestException:
        timeout = (self.limits.connect_s, self.limits.read_s)
        parts = urlsplit(url)
        proxies, verify = _environment(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/")
        try:
            return self._session.request(
                method, url, timeout=timeout, auth=self._authorize, proxies=proxies, verify=verify, **settings
            )
        except requests.RequestException as error:
            return error

    def _wait_as_told(self, answer: requests.Response, attempt: int, error: HttpError) -> None:
        """Sleep for the back-off, or for as long as the server says, and let others wait as long."""
        told = retry_after(answer.headers.get("Retry-After"))
        if told is None:
            self._sleep(self._backoff(attempt))
            return
        if told > self.limits.longest_wait_s:
            raise SourceError(f"{error}; it wants us to wait for {told:.0f} s: try again later") from error
        self._gate.hold(told)

    def _backoff(self, attempt: int) -> float:
        return float(self.limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))

    def _refused(self, url: str, answer: requests.Response, attempt: int) -> HttpError:
        with answer:
            words = _first_words(answer)
        if self._authorize.credentials is not None:
            words = self._authorize.credentials.hide_in(words)
        place = f"{self.service}: {public_address(url)}"
        tried = f" after {attempt} attempts" if attempt > 1 else ""
        said = f": {words}" if words else ""
        return HttpError(
            f"{place} answered {answer.status_code} {answer.reason or ''}".rstrip() + tried + said + _advice(answer),
            status=answer.status_code,
        )

    def _unanswered(self, url: str, error: requests.RequestException, attempt: int) -> UnreachableError:
        return UnreachableError(
            f"{self.service}: no answer from {public_address(url)} after {attempt} attempts "
            f"({describe(error)}): check the network and the address, then try again"
        )


class _Authorization(requests.auth.AuthBase):
    """Adds the header, where there are credentials, to the one host that may have it.

    requests drops it when it is redirected to another host.
    """

    def __init__(self, credentials: Credentials | None, host: str) -> None:
        self.credentials = credentials
        self._host = (credentials.host or host if credentials is not None else "").lower()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.credentials is None:
            return request
        place = urlsplit(request.url or "")
        if self._host and self._host in (place.netloc.lower(), place.hostname):
            request.headers["Authorization"] = self.credentials.header()
        return request


@functools.cache
def _environment(address: str) -> tuple[dict[str, str], str | bool]:
    """Proxies for a host, and certificates to trust, as the environment has them when the host is first asked."""
    proxies: dict[str, str] = requests.utils.get_environ_proxies(address)
    return proxies, os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def public_address(url: str) -> str:
    """An address as errors may show it: without user and password, and with the names of a query, not its values."""
    parts = urlsplit(url)
    names = ", ".join(dict.fromkeys(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{parts.netloc.rpartition('@')[2]}{parts.path}" + (f" (with {names})" if names else "")


def retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` names, as a number or as a date (RFC 9110, 10.2.3); None where it names none."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.datetime.now(datetime.UTC)
    return max(0.0, (date.replace(tzinfo=date.tzinfo or datetime.UTC) - now).total_seconds())


def describe(error: BaseException) -> str:
    """What kind of failure of the network it was: its own text would repeat the whole address."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    reason = getattr(reason, "reason", None) or reason
    words = {"ConnectTimeout": "timed out", "ReadTimeout": "timed out", "ReadTimeoutError": "timed out"}
    name = type(reason).__name__
    system = next((one for one in (reason, reason.__cause__) if isinstance(one, OSError) and one.strerror), None)
    return words.get(name) or (f"{name}: {system.strerror}" if system is not None else name)


def _passing(error: requests.RequestException) -> bool:
    """Whether the same request may be answered a moment later."""
    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    lasting = (requests.exceptions.SSLError, requests.exceptions.InvalidURL)
    return isinstance(error, passing) and not isinstance(error, lasting)


def _first_words(answer: requests.Response) -> str:
    """The beginning of a body as one line; nothing of a page of HTML, of which no part is a sentence."""
    try:
        start = next(answer.iter_content(4 * _WORDS), b"")
    except requests.RequestException:
        return ""
    text = " ".join(start.decode("utf-8", errors="replace").split())
    return "" if text.lower().startswith(("<!doctype html", "<html")) else text[:_WORDS]


def _advice(answer: requests.Response) -> str:
    advice = {
        401: "it wants credentials, or does not take these",
        403: "it does not let us: check the credentials, and whether its terms have been accepted",
        404: "it is not there, or not any more",
        429: "it is being asked too often: try again later",
    }.get(answer.status_code)
    return f"; {advice}" if advice else ""
