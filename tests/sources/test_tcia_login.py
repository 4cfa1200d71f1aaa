"""Tokens of an NBIA server on loopback (sources.md, 1.5)."""

import pydantic
import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.credentials import Credentials
from medimagenet.sources.http import Client, Limits
from medimagenet.sources.tcia_login import TokenLogin
from medimagenet.sources.tcia_nbia import Nbia
from tests.sources.nbia_server import PASSWORD, USER, Fault, NbiaServer

QUICK = Limits(attempts=1, backoff_s=0.0)


@pytest.fixture
def server():
    with NbiaServer() as running:
        yield running


def reader(password=PASSWORD) -> Credentials:
    return Credentials(user=USER, password=pydantic.SecretStr(password))


def login(server, credentials=None, clock=lambda: 0.0) -> TokenLogin:
    return TokenLogin(Client("tcia", limits=QUICK), f"{server.url}/oauth/token", credentials, clock=clock)


def test_a_token_is_kept_and_renewed_before_it_ends(server):
    now = [0.0]
    found = login(server, reader(), clock=lambda: now[0])
    first = found.token().header()
    assert found.token().header() == first
    now[0] = server.token_lifetime_s - 30.0
    assert found.token().header() != first
    assert [form["grant_type"] for form in server.asked("token")] == ["password", "refresh_token"]


def test_what_cannot_be_renewed_is_a_new_login(server):
    found = login(server, reader())
    found.token()
    server.tokens.clear()
    found.forget()
    found.token()
    assert [form["grant_type"] for form in server.asked("token")] == ["password", "refresh_token", "password"]


def test_a_wrong_password_is_said_without_it(server):
    with pytest.raises(SourceError, match="login as 'reader' failed") as caught:
        login(server, reader("hunter2-hunter2")).token()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


def test_a_server_that_repeats_the_password_does_not_make_us_repeat_it(server):
    server.fail("token", Fault(status=401, body="bad: hunter2-hunter2"))
    with pytest.raises(SourceError) as caught:
        login(server, reader("hunter2-hunter2")).token()
    assert "hunter2" not in str(caught.value)


def test_another_page_is_no_token(server):
    with pytest.raises(SourceError, match="answered no token"):
        TokenLogin(Client("tcia", limits=QUICK), f"{server.url.removesuffix('/nbia-api')}/api/v1/x/").token()


def test_a_token_that_the_server_no_longer_takes_is_replaced(server):
    nbia = Nbia(server.services("v2"), credentials=reader(), limits=QUICK)
    assert nbia.collections() == []
    server.tokens.clear()
    assert nbia.collections() == []
    with pytest.raises(SourceError, match="401"):
        wrong = Credentials(token=pydantic.SecretStr("no-such-token"))
        Nbia(server.services("v2"), credentials=wrong, limits=QUICK).collections()


def test_credentials_for_another_host_stay_here(server):
    elsewhere = Credentials(user=USER, password=pydantic.SecretStr(PASSWORD), host="nbia.example.org")
    login(server, elsewhere).token()
    here = Credentials(user=USER, password=pydantic.SecretStr(PASSWORD), host="127.0.0.1")
    login(server, here).token()
    assert [form["username"] for form in server.asked("token")] == ["nbia_guest", USER]
    token = Credentials(token=pydantic.SecretStr("secret-token"), host="nbia.example.org")
    assert "secret-token" not in login(server, token).token().header()
