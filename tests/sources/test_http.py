"""The client against a real server on loopback that answers by a script. Time is counted, not spent."""

import datetime
import email.utils
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydantic
import pytest

from medimagenet.errors import HttpError, SourceError
from medimagenet.sources import http
from medimagenet.sources.credentials import Credentials
from medimagenet.sources.http import LIMITS, Client, Limits, public_address, retry_after

QUICK = Limits(attempts=3, backoff_s=1.0, longest_wait_s=100.0, connect_s=2.0, read_s=0.5)
CUT = "cut"


class Script(BaseHTTPRequestHandler):
    """Gives the answers of `server.answers` in turn, the last for ever, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        cut = headers.get("X-Fault") == CUT
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + 100 * cut))
        self.end_headers()
        self.wfile.write(body)
        if cut:
            self.close_connection = True

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http, "_gates", {})
    found = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    found.asked, found.answers, found.url = [], [(200, {}, b"done")], f"http://127.0.0.1:{found.server_port}"
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def client(server, slept):
    with Client("test", base_url=f"{server.url}/api/", limits=QUICK, sleep=slept.append) as found:
        yield found


def test_parameters_user_agent_and_the_base_address_are_sent(client, server):
    assert client.get("getSeries", params={"Collection": "RIDER Lung CT"}).text == "done"
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/api/getSeries?Collection=RIDER+Lung+CT")
    assert headers["User-Agent"].startswith("medimagenet/")


def test_a_form_is_posted(client, server):
    client.post(f"{server.url}/other", data={"list": "1.2,1.3"})
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("POST", "/other", "list=1.2%2C1.3")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("status", sorted(http.RETRIED))
def test_what_may_pass_is_asked_again_with_growing_waits(client, server, slept, status):
    server.answers = [(status, {}, b"busy"), (status, {}, b"busy"), (200, {}, b"here")]
    assert client.get("x").text == "here"
    assert [0.5 <= slept[0] <= 1.0, 1.0 <= slept[1] <= 2.0, len(slept)] == [True, True, 2]


def test_a_post_is_sent_again_with_its_form(client, server):
    server.answers = [(503, {}, b""), (200, {}, b"here")]
    assert client.post("x", data={"list": "1.2"}).text == "here"
    assert [body for *_, body in server.asked] == ["list=1.2", "list=1.2"]


def test_a_body_that_is_cut_is_asked_for_again(client, server):
    server.answers = [(200, {"X-Fault": CUT}, b"hal"), (200, {}, b"whole")]
    assert client.get("x").text == "whole"


def test_after_the_last_attempt_the_error_says_all(client, server, slept):
    server.answers = [(503, {}, b"  closed for\n repair ")]
    with pytest.raises(
        HttpError, match=r"test: http://127.0.0.1:\d+/api/x answered 503 .* after 3 attempts: closed for"
    ):
        client.get("x")
    assert (len(server.asked), len(slept)) == (3, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416])
def test_what_does_not_pass_is_asked_once(client, server, status):
    server.answers = [(status, {"Content-Type": "application/json"}, b"Invalid query parameter: 'x'.")]
    with pytest.raises(HttpError, match="Invalid query parameter: 'x'") as caught:
        client.get("x")
    assert (caught.value.status, len(server.asked)) == (status, 1)


def test_the_server_says_how_long_to_wait_and_all_clients_of_the_service_do(client, server, slept):
    server.answers = [(429, {"Retry-After": "7"}, b""), (200, {}, b"here")]
    assert client.get("x").text == "here"
    assert slept == [pytest.approx(7, abs=0.5)]
    other = Client("test", base_url=server.url, limits=QUICK, sleep=slept.append)
    other.get("y")
    assert slept[1] == pytest.approx(7, abs=0.5)  # the clock has not moved: `sleep` only counts


def test_a_wait_that_is_too_long_is_an_error(client, server, slept):
    server.answers = [(429, {"Retry-After": "86400"}, b"quota")]
    with pytest.raises(SourceError, match=r"429 .*quota.* wait for 86400 s: try again later"):
        client.get("x")
    assert (slept, len(server.asked)) == ([], 1)


def test_retry_after_is_a_number_or_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    assert retry_after("120") == 120
    assert retry_after(email.utils.format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=5)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(None), retry_after("soon"), retry_after("-5")] == [None, None, None]


def test_requests_of_a_service_start_apart_from_each_other(server, slept):
    limits = Limits(pause_s=2.0)
    for _ in range(2):
        Client("slow", base_url=server.url, limits=limits, sleep=slept.append).get("x")
    assert slept == [pytest.approx(2.0, abs=0.5)]


def test_silence_and_closed_doors_are_errors_that_name_the_host(slept):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            SourceError, match=rf"no answer from http://127.0.0.1:{port}/x .*after 3 attempts.*timed out"
        ):
            Client("test", limits=QUICK, sleep=slept.append).get(f"http://127.0.0.1:{port}/x")
    with pytest.raises(SourceError, match=r"Connection refused.*check the network"):
        Client("test", limits=QUICK, sleep=slept.append).get(f"http://127.0.0.1:{port}/x")


def test_a_page_of_html_is_not_repeated(client, server):
    server.answers = [(403, {}, b"<!DOCTYPE html><html><body>Log in</body></html>")]
    with pytest.raises(HttpError) as caught:
        client.get("x")
    assert "html" not in str(caught.value).lower()
    assert "terms" in str(caught.value)


def test_no_more_connections_than_the_limit(server):
    many = threading.Semaphore(0)
    with Client("test", base_url=server.url, limits=Limits(connections=2)) as client:
        held = [client.get("x", stream=True) for _ in range(2)]
        third = threading.Thread(target=lambda: (client.get("y").close(), many.release()))
        third.start()
        assert not many.acquire(timeout=0.2)
        held[0].close()
        assert many.acquire(timeout=5)
        third.join()
        held[1].close()


def test_limits_are_checked_and_every_service_has_sane_ones():
    with pytest.raises(ValueError, match="got 0 and 5"):
        Limits(connections=0)
    assert max(limits.connections for name, limits in LIMITS.items() if name != "idc") <= 8


TOKEN = "hf_abcdefSECRETtoken"
SECRETS = [
    Credentials(token=pydantic.SecretStr(TOKEN)),
    Credentials(user="reader", password=pydantic.SecretStr("SECRETpassword")),
]


@pytest.mark.parametrize("credentials", SECRETS, ids=["token", "password"])
def test_credentials_are_sent_and_appear_nowhere_else(server, caplog, credentials):
    """Neither in the text of errors, nor in logs at their finest, nor where a server repeats what it was sent."""
    caplog.set_level(logging.DEBUG)
    secret = credentials.header().partition(" ")[2]
    server.answers = [(401, {}, f"bad header {credentials.header()} or SECRETpassword {TOKEN}".encode())]
    client = Client("test", base_url=server.url, credentials=credentials, limits=QUICK)
    with pytest.raises(HttpError, match="credentials") as caught:
        client.get("x", params={"signature": "SECRETsignature"})
    assert server.asked[0][2]["Authorization"] == credentials.header()
    shown = f"{caught.value} {caught.value!r} {client!r} {credentials} {vars(client)} {caplog.text}".replace(
        "signature=SECRETsignature",
        "",  # urllib3 logs the query, at the finest level: it is not the user's secret
    )
    assert secret not in shown
    assert ("SECRETpassword" if credentials.user else TOKEN) not in shown


def test_a_signature_in_an_address_is_not_in_an_error(server, slept):
    client = Client("test", limits=QUICK, sleep=slept.append)
    port = server.server_port
    server.answers = [(403, {}, b"")]
    with pytest.raises(HttpError, match=r"/x \(with sig, q\)") as refused:
        client.get(f"http://me:SECRETpw@127.0.0.1:{port}/x?sig=SECRET1&q=PATIENT")
    with pytest.raises(SourceError) as unanswered:
        client.get("http://me:SECRETpw@127.0.0.1:9/x?sig=SECRET1")
    for error in (refused.value, unanswered.value):
        assert not any(word in f"{error} {error!r} {error.__cause__}" for word in ("SECRET", "PATIENT", "me:"))


def test_proxies_and_certificates_are_those_of_the_environment(server, monkeypatch):
    monkeypatch.setattr(http, "_environment", http._environment.__wrapped__)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "direct.example.org")
    assert Client("test", limits=QUICK).get("http://archive.example.org/x").text == "done"
    assert server.asked[0][1] == "http://archive.example.org/x"  # a proxy is asked for the whole address
    assert http._environment("http://direct.example.org/") == ({}, True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own.pem")
    assert http._environment("https://archive.example.org/")[1] == "/etc/own.pem"


def test_netrc_is_not_asked(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    Client("test", base_url=server.url, limits=QUICK).get("x")
    assert "Authorization" not in server.asked[0][2]


def test_credentials_go_to_their_host_only(server):
    for host, base in (("other.example.org", server.url), (None, "http://other.example.org")):
        credentials = Credentials(token=pydantic.SecretStr(TOKEN), host=host)
        Client("test", base_url=base, credentials=credentials, limits=QUICK).get(f"{server.url}/x")
    Client("test", base_url=server.url, credentials=SECRETS[0], limits=QUICK).get("x")
    assert ["Authorization" in headers for _, _, headers, _ in server.asked] == [False, False, True]


def test_credentials_do_not_follow_to_another_host(server):
    other = f"http://localhost:{server.server_port}/elsewhere"
    server.answers = [(302, {"Location": other}, b""), (200, {}, b"there")]
    client = Client("test", base_url=server.url, credentials=SECRETS[0], limits=QUICK)
    assert client.get("x").text == "there"
    assert ["Authorization" in headers for _, _, headers, _ in server.asked] == [True, False]


def test_an_address_is_shown_without_its_secrets():
    assert public_address("https://u:p@h.org/a/b?x=1&y=") == "https://h.org/a/b (with x, y)"
    assert public_address("") == ""
