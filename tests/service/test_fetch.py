"""What a fetch gives, how it ends when a server does not play along, and that a name is resolved once a connection."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from searchmesh.fetch import Fetched, Fetcher, FetchSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument
from support.ports import free_port
from support.web import Answer, WebServer, redirect, response

_TLS = ssl.create_default_context()

PAGE = response(b"<p>hello", content_type="Text/HTML; Charset=UTF-8")


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with WebServer(answers={"/": PAGE}) as server:
        yield server


@pytest.fixture
async def fetcher(server: WebServer) -> AsyncIterator[Fetcher]:
    async with _fetching(server) as fetcher:
        yield fetcher


@asynccontextmanager
async def _fetching(
    *servers: WebServer, resolver: Any = None, tls: Any = _TLS, **settings: Any
) -> AsyncIterator[Fetcher]:
    """A fetcher that may fetch from the servers."""
    allow = tuple(f"{server.host}:{server.port}" for server in servers)
    values = {"fetch_enabled": True, "fetch_allow": allow, "fetch_timeout_s": 5.0} | settings
    fetcher = Fetcher(FetchSettings.model_validate(values), resolver=resolver, ssl_context=tls)
    yield fetcher
    await fetcher.close()


async def _get(fetcher: Fetcher, url: str, **options: Any) -> Fetched:
    defaults = {"field": "url", "accept": ["text/html"], "deadline": Deadline.after(20)}
    return await fetcher.get(url, **(defaults | options))


async def _refusal(fetcher: Fetcher, url: str, **options: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        await _get(fetcher, url, **options)
    return caught.value


async def test_a_page_comes_with_its_type_and_charset(fetcher: Fetcher, server: WebServer) -> None:
    fetched = await _get(fetcher, server.url("/#part"))
    assert fetched == Fetched(server.url("/"), "text/html", "utf-8", b"<p>hello")


async def test_what_a_server_is_told(fetcher: Fetcher, server: WebServer) -> None:
    await _get(fetcher, server.url(), accept=["text/html", "image/*"])
    assert server.requests[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "searchmesh",
        "accept": "text/html, image/*",
        "accept-encoding": "gzip",
    }


async def test_the_field_is_named(fetcher: Fetcher, server: WebServer) -> None:
    refusal = await _refusal(fetcher, server.url("/none"), field="inputs[2].image.url")
    assert str(refusal) == "inputs[2].image.url: answered with status 404"


async def test_switched_off_nothing_is_fetched_and_the_error_says_how_to_change_that(server: WebServer) -> None:
    async with _fetching(server, fetch_enabled=False) as fetcher:
        with pytest.raises(InvalidArgument, match="SEARCHMESH_FETCH_ENABLED"):
            await _get(fetcher, server.url())
    assert server.connections == 0
    assert FetchSettings().fetch_enabled is False


# Names


class Rebinding:
    """A name whose address is another one each time it is asked for."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        return self._answers[self.asked - 1]


async def test_the_checked_address_is_the_one_connected_to(server: WebServer) -> None:
    """Had the name been resolved again to connect, it would have led to the second server."""
    resolver = Rebinding(["127.0.0.1"], ["127.0.0.2"])
    async with WebServer(host="127.0.0.2", port=server.port, answers={"/": response(b"the inside")}) as inside:
        async with _fetching(server, resolver=resolver) as fetcher:
            fetched = await _get(fetcher, server.url(host="rebinding.example"))
            assert fetched.body == b"<p>hello"
            assert resolver.asked == 1
            refusal = await _refusal(fetcher, server.url(host="rebinding.example"))
            assert refusal.reason == "URL_FORBIDDEN"
            assert resolver.asked == 2
        assert inside.connections == 0


async def test_a_redirect_to_the_same_name_is_checked_anew(server: WebServer) -> None:
    resolver = Rebinding(["127.0.0.1"], ["127.0.0.2"])
    server.answers["/again"] = redirect("/")
    async with WebServer(host="127.0.0.2", port=server.port, answers={"/": response(b"the inside")}) as inside:
        async with _fetching(server, resolver=resolver) as fetcher:
            refusal = await _refusal(fetcher, server.url("/again", host="rebinding.example"))
        assert refusal.reason == "URL_FORBIDDEN"
        assert inside.connections == 0


async def test_the_next_address_is_tried_when_one_does_not_answer(server: WebServer) -> None:
    resolver = Rebinding(["127.0.0.3", "127.0.0.1"])
    async with _fetching(server, resolver=resolver, fetch_allow=(f"127.0.0.0/29:{server.port}",)) as fetcher:
        fetched = await _get(fetcher, server.url(host="two.example"))
    assert fetched.body == b"<p>hello"
    assert server.requests[0].headers["host"] == f"two.example:{server.port}"


async def test_a_listed_name_may_be_private_but_never_loopback(server: WebServer) -> None:
    async def resolver(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    async with _fetching(server, resolver=resolver, fetch_allow=(f"listed.example:{server.port}",)) as fetcher:
        refusal = await _refusal(fetcher, server.url(host="listed.example"))
    assert refusal.problem == "leads to a loopback address; only public ones are fetched"
    assert server.connections == 0


async def test_a_denied_network_wins_over_an_allowed_one(server: WebServer) -> None:
    async with _fetching(server, fetch_deny="127.0.0.0/30") as fetcher:
        assert (await _refusal(fetcher, server.url())).reason == "URL_FORBIDDEN"


async def test_names_are_resolved_by_the_system(server: WebServer) -> None:
    async with _fetching(server, fetch_allow=f"127.0.0.1:{server.port},[::1]:{server.port}") as fetcher:
        assert (await _get(fetcher, server.url(host="localhost"))).body == b"<p>hello"


async def test_a_name_server_that_does_not_answer_is_not_waited_for(server: WebServer) -> None:
    async def resolver(host: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    async with _fetching(server, resolver=resolver, fetch_timeout_s=0.2) as fetcher:
        assert (await _refusal(fetcher, server.url(host="slow.example"))).reason == "URL_TIMEOUT"


async def test_proxies_of_the_environment_are_not_used(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with _fetching(server) as fetcher:
        assert (await _get(fetcher, server.url())).body == b"<p>hello"


async def test_cookies_are_not_kept(fetcher: Fetcher, server: WebServer) -> None:
    server.answers["/set"] = response(status=302, location="/", set_cookie="session=1")
    await _get(fetcher, server.url("/set"))
    await _get(fetcher, server.url())
    assert [request.headers.get("cookie") for request in server.requests] == [None, None, None]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int, fetcher: Fetcher, server: WebServer) -> None:
    server.answers["/from"] = redirect("here/../to?q=ü#part", status)
    server.answers["/to?q=%C3%BC"] = response(b"there")
    fetched = await _get(fetcher, server.url("/from"))
    assert (fetched.url, fetched.body) == (server.url("/to?q=%C3%BC"), b"there")


async def test_as_many_redirects_as_allowed_and_no_more(server: WebServer) -> None:
    for n in range(4):
        server.answers[f"/{n}"] = redirect(f"/{n + 1}")
    server.answers["/4"] = PAGE
    async with _fetching(server, fetch_max_redirects=3) as fetcher:
        assert (await _get(fetcher, server.url("/1"))).body == b"<p>hello"
        refusal = await _refusal(fetcher, server.url("/0"))
    assert refusal.problem == "redirects more than 3 times"


async def test_a_redirect_without_a_location_is_refused(fetcher: Fetcher, server: WebServer) -> None:
    server.answers["/lost"] = response(status=302)
    assert (await _refusal(fetcher, server.url("/lost"))).problem == "redirects to nowhere"


async def test_an_error_behind_a_redirect_is_told_as_such(fetcher: Fetcher, server: WebServer) -> None:
    server.answers["/moved"] = redirect("/none")
    refusal = await _refusal(fetcher, server.url("/moved"))
    assert refusal.problem == "redirects to a URL that answered with status 404"


# Bodies


def _chunked(*chunks: bytes, **headers: str) -> bytes:
    whole = response(b"", content_length="", transfer_encoding="chunked", **headers)
    return whole + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


async def test_a_body_may_have_just_as_many_bytes_as_allowed(server: WebServer) -> None:
    server.answers |= {"/told": response(b"x" * 100), "/chunked": _chunked(b"x" * 60, b"x" * 40)}
    for limit, fits in ((100, True), (99, False)):
        for path in ("/told", "/chunked"):
            for options in ({"fetch_max_bytes": limit}, {"fetch_max_decoded_bytes": limit}, {}):
                async with _fetching(server, **options) as fetcher:
                    most = None if options else limit
                    if fits:
                        assert len((await _get(fetcher, server.url(path), max_bytes=most)).body) == 100
                    else:
                        refusal = await _refusal(fetcher, server.url(path), max_bytes=most)
                        assert (refusal.problem, refusal.reason) == ("is larger than 99 bytes", "URL_TOO_LARGE")


async def test_a_body_that_never_ends_is_cut_off(server: WebServer) -> None:
    sent = 0

    async def forever(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(response(b"", content_length=""))
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()
            sent += 10_000

    server.answers["/"] = forever
    async with _fetching(server, fetch_max_bytes=100_000) as fetcher:
        assert (await _refusal(fetcher, server.url())).reason == "URL_TOO_LARGE"
    assert sent < 20_000_000


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_gzip_is_decoded(encoding: str, fetcher: Fetcher, server: WebServer) -> None:
    text = os.urandom(300_000).hex().encode()
    server.answers |= {
        "/one": response(gzip.compress(text), content_encoding=encoding),
        "/members": response(gzip.compress(text[:9]) + gzip.compress(text[9:]), content_encoding=encoding),
    }
    assert (await _get(fetcher, server.url("/one"))).body == text
    assert (await _get(fetcher, server.url("/members"))).body == text


async def test_a_decompression_bomb_is_stopped_at_the_limit(server: WebServer) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    server.answers["/"] = response(bomb, content_encoding="gzip")
    pieces = []
    async with _fetching(server, fetch_max_decoded_bytes=1_000_000) as fetcher:
        options: Any = {"field": "url", "accept": ["*/*"], "deadline": Deadline.after(20)}
        async with fetcher.open(server.url(), **options) as opened:

            async def read() -> None:
                async for piece in opened.chunks:
                    pieces.append(len(piece))  # noqa: PERF401

            with pytest.raises(InvalidArgument, match="is larger than 1000000 bytes"):
                await read()
    assert 900_000 < sum(pieces) <= 1_000_000
    assert max(pieces) <= 64 * 1024


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress", "nonsense"])
async def test_an_encoding_that_was_not_asked_for_is_refused(
    encoding: str, fetcher: Fetcher, server: WebServer
) -> None:
    server.answers["/"] = response(zlib.compress(bytes(1_000_000)), content_encoding=encoding)
    refusal = await _refusal(fetcher, server.url())
    assert (refusal.problem, refusal.reason) == ("has a content encoding other than gzip", "URL_CONTENT_REFUSED")


async def test_broken_gzip_is_refused(fetcher: Fetcher, server: WebServer) -> None:
    whole = gzip.compress(b"hello" * 100)
    for path, broken in {"/cut": whole[:-9], "/garbage": b"hello", "/empty": b""}.items():
        server.answers[path] = response(broken, content_encoding="gzip")
        assert (await _refusal(fetcher, server.url(path))).problem.startswith("has a ")


async def test_the_content_type_must_be_one_that_is_accepted(fetcher: Fetcher, server: WebServer) -> None:
    server.answers |= {
        "/image": response(b"...", content_type="image/png"),
        "/none": response(b"...", content_type=None),
        "/odd": response(b"...", content_type='text/html;charset="latin1"; x=y'),
    }
    refusal = await _refusal(fetcher, server.url("/image"), accept=["text/html", "application/pdf"])
    assert refusal.problem == "has a content type other than text/html, application/pdf"
    assert (await _get(fetcher, server.url("/image"), accept=["image/*"])).content_type == "image/png"
    assert (await _refusal(fetcher, server.url("/none"))).reason == "URL_CONTENT_REFUSED"
    assert (await _get(fetcher, server.url("/none"), accept=["*/*"])).content_type == "application/octet-stream"
    assert (await _get(fetcher, server.url("/odd"))).charset == "latin1"


# Servers that do not play along


async def _silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def _drip(data: bytes) -> Answer:
    async def drip(writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return drip


async def _hints(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def _headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-header: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"x" * 50, content_length="100"))
    await writer.drain()
    writer.transport.abort()


SLOW = {"silence": _silence, "drip of the head": _drip(PAGE), "drip of the body": _drip(b"x" * 1000), "hints": _hints}


@pytest.mark.parametrize("kind", SLOW)
async def test_however_slowly_a_server_answers_the_time_is_bounded(kind: str, server: WebServer) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        if "body" in kind:
            writer.write(response(b"", content_length="1000"))
        await SLOW[kind](writer)  # type: ignore[operator]

    server.answers["/"] = answer
    async with _fetching(server, fetch_timeout_s=0.3) as fetcher:
        started = time.monotonic()
        refusal = await _refusal(fetcher, server.url())
        assert time.monotonic() - started < 2
    assert (refusal.problem, refusal.reason) == ("was not fetched within 0.3 s", "URL_TIMEOUT")


async def test_a_server_that_falls_silent_is_given_up_before_the_time_is_over(server: WebServer) -> None:
    server.answers["/"] = _silence
    async with _fetching(server, fetch_idle_timeout_s=0.1) as fetcher:
        assert (await _refusal(fetcher, server.url())).problem == "stopped answering"


async def test_the_callers_deadline_counts(fetcher: Fetcher, server: WebServer) -> None:
    server.answers["/"] = _silence
    with pytest.raises(DeadlineExceeded):
        await _get(fetcher, server.url(), deadline=Deadline.after(0.1))


async def test_broken_answers_are_told_as_such(fetcher: Fetcher, server: WebServer) -> None:
    server.answers |= {
        "/short": response(b"x" * 50, content_length="100"),
        "/noise": b"SSH-2.0-OpenSSH_9.6\r\n",
        "/nothing": b"",
        "/headers": _headers,
        "/chunks": response(b"zz\r\n", content_length="", transfer_encoding="chunked"),
        "/reset": _reset,
        "/length": response(b"x", content_length="9" * 5000),
        "/lengths": response(b"x", content_length="1\r\ncontent-length: 2"),
    }
    for path in server.answers.keys() - {"/"}:
        refusal = await _refusal(fetcher, server.url(path))
        assert refusal.problem in ("did not answer with whole, valid HTTP", "closed the connection"), path
        assert refusal.reason == "URL_UNREACHABLE"


async def test_nobody_at_the_port(server: WebServer) -> None:
    port = free_port()
    async with _fetching(server, fetch_allow=f"127.0.0.1:{port}") as fetcher:
        refusal = await _refusal(fetcher, f"http://127.0.0.1:{port}/")
    assert refusal.problem == "cannot be connected to"


# One process


async def test_more_fetches_than_allowed_at_once_wait_for_their_turn(server: WebServer) -> None:
    busy = most = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.02)
        busy -= 1
        writer.write(PAGE)

    server.answers["/"] = answer
    # Six in turns of two take longer than the time for one: waiting does not count.
    async with _fetching(server, fetch_concurrency=2, fetch_timeout_s=0.05) as fetcher:
        await asyncio.gather(*(_get(fetcher, server.url()) for _ in range(6)))
    assert most == 2


async def test_who_waits_for_a_turn_past_the_deadline_is_told_so(server: WebServer) -> None:
    server.answers["/slow"] = _silence
    async with _fetching(server, fetch_concurrency=1) as fetcher:
        slow = asyncio.create_task(_get(fetcher, server.url("/slow")))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineExceeded):
            await _get(fetcher, server.url(), deadline=Deadline.after(0.1))
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert (await _get(fetcher, server.url())).body == b"<p>hello"


async def test_a_body_can_be_read_as_it_comes(server: WebServer, fetcher: Fetcher) -> None:
    go_on = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"first", content_length="9"))
        await writer.drain()
        await go_on.wait()
        writer.write(b"last")

    server.answers["/"] = answer
    async with fetcher.open(server.url(), field="url", accept=["text/html"], deadline=Deadline.after(5)) as opened:
        assert await anext(opened.chunks) == b"first"
        go_on.set()
        assert [chunk async for chunk in opened.chunks] == [b"last"]


async def test_a_timeout_of_whoever_reads_stays_what_it_is(server: WebServer, fetcher: Fetcher) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with fetcher.open(server.url(), field="url", accept=["text/html"], deadline=Deadline.after(5)):
            raise TimeoutError("mine")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of site.example, in one file."""
    path = tmp_path_factory.mktemp("tls") / "site.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=site.example", "-addext", "subjectAltName=DNS:site.example"),
        *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[WebServer]:
    """An https server that has the certificate, and notes the names it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with WebServer(tls=context, answers={"/": PAGE}) as server:
        yield server


async def _loopback(host: str) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_tls_is_checked_against_the_name_not_the_address(secure: WebServer, certificate: Path) -> None:
    names = []
    assert secure.tls is not None
    secure.tls.sni_callback = lambda connection, name, context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with _fetching(secure, resolver=_loopback, tls=trusting) as fetcher:
        fetched = await _get(fetcher, secure.url(scheme="https", host="site.example"))
        assert fetched.body == b"<p>hello"
        refusal = await _refusal(fetcher, secure.url(scheme="https", host="other.example"))
        assert refusal.problem.startswith("has an invalid certificate: Hostname mismatch")
    assert names == ["site.example", "other.example"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(secure: WebServer) -> None:
    async with _fetching(secure, resolver=_loopback) as fetcher:
        refusal = await _refusal(fetcher, secure.url(scheme="https", host="site.example"))
    assert refusal.problem.startswith("has an invalid certificate: self-signed certificate")


async def test_tls_that_breaks_after_the_handshake(secure: WebServer, certificate: Path) -> None:
    async def garble(writer: asyncio.StreamWriter) -> None:
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        await asyncio.sleep(5)

    secure.answers["/"] = garble
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with _fetching(secure, resolver=_loopback, tls=trusting) as fetcher:
        refusal = await _refusal(fetcher, secure.url(scheme="https", host="site.example"))
    assert refusal.problem == "does not speak TLS as it should"


async def test_https_to_a_port_that_speaks_something_else() -> None:
    async with WebServer(greeting=b"220 mail.example ESMTP\r\n") as mail, _fetching(mail) as fetcher:
        refusal = await _refusal(fetcher, mail.url(scheme="https"))
    assert refusal.problem == "does not speak TLS as it should"
