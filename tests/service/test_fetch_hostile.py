"""Whatever URL a caller sends, a fetch never reaches an address that it should not: the suite of hostile URLs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from searchmesh.fetch import Fetcher, FetchSettings, policy
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from support.web import WebServer, redirect, response

NAMES: Mapping[str, Sequence[str]] = {
    "home.example": ["127.0.0.1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "v6.example": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "intranet.example": ["10.1.2.3"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "scoped.example": ["fe80::1%eth0"],
    "zero.example": ["0.0.0.0"],
    "localhost": ["127.0.0.1", "::1"],
    "nothing.example": [],
    "nonsense.example": ["not an address"],
}

_TLS = ssl.create_default_context()
"""Loading the certificates takes longer than a test."""

LOOPBACK = [
    "http://127.0.0.1:{port}/",
    "http://127.255.255.254:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/",
    "http://[2a00:1450::5efe:7f00:1]:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0.0.01:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://00000000000000000000000000177.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127.0.0.1%00.public.example:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
]

INTERNAL = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xA9FEA9FE/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/metadata",
    "http://192.0.0.192/latest/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "https://192.168.1.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fc00::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:a00:1::]/",
]

NAMED = [f"http://{name}:{{port}}/" for name in NAMES] + ["https://home.example/", "http://unknown.example/"]

UNRESOLVED = ("nothing.example", "nonsense.example", "unknown.example", "a" * 64)

ODD = [
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "ftp://home.example/",
    "gopher://home.example:6379/_FLUSHALL",
    "dict://127.0.0.1:6379/info",
    "ldap://home.example/",
    "data:text/html,hello",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "ws://home.example/",
    "http://user:password@home.example/",
    "http://93.184.216.34@127.0.0.1/",
    "http://93.184.216.34\\@127.0.0.1/",
    "http://127.0.0.1:{port}@93.184.216.34/",
    "http://93.184.216.34:22/",
    "http://93.184.216.34:6379/",
    "http://93.184.216.34:0/",
    "http://93.184.216.34:99999/",
    "http://93.184.216.34:80:443/",
    "http://[::1",
    "http://home .example/",
    "http://" + "a" * 64 + ".example/",
]

NO_LOCATIONS = [
    "",
    "http://",
    "http:///path",
    "/etc/passwd",
    "//home.example/",
    "http:home.example",
    "http://home.example\r\nHost: other/",
    "http://home.example/\r\nX-Header: 1",
    "http://home.example/\x00",
    "http://home.example/" + "a" * 10_000,
]
"""As the Location of a redirect these are paths of the same server, or more than one header."""


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebServer]:
    """Has what no fetch may see, on what counts as the port of http here: so that nothing but the address stands in the
    way to it."""
    async with WebServer() as server:
        server.answers["/"] = response(b"the inside")
        monkeypatch.setattr(policy, "_DEFAULT_PORTS", {"http": server.port, "https": 443})
        yield server


@pytest.fixture
async def fetcher(server: WebServer) -> AsyncIterator[Fetcher]:
    async with _fetching() as fetcher:
        yield fetcher


@asynccontextmanager
async def _fetching(**settings: object) -> AsyncIterator[Fetcher]:
    """A fetcher that resolves `NAMES` and nothing else."""
    values = FetchSettings.model_validate({"fetch_enabled": True, "fetch_timeout_s": 5.0, **settings})
    fetcher = Fetcher(values, resolver=_resolve, ssl_context=_TLS)
    yield fetcher
    await fetcher.close()


async def _resolve(host: str) -> Sequence[str]:
    try:
        return NAMES[host.rstrip(".").lower()]
    except KeyError:
        raise OSError("no such host") from None


async def _get(fetcher: Fetcher, url: str) -> bytes:
    fetched = await fetcher.get(url, field="url", accept=["*/*"], deadline=Deadline.after(5.0))
    return fetched.body


async def _refusal(fetcher: Fetcher, url: str) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        await _get(fetcher, url)
    assert caught.value.field == "url"
    return caught.value


@pytest.mark.parametrize("url", LOOPBACK + INTERNAL + NAMED + ODD + NO_LOCATIONS)
async def test_a_hostile_url_is_refused_without_a_connection(url: str, fetcher: Fetcher, server: WebServer) -> None:
    refusal = await _refusal(fetcher, url.replace("{port}", str(server.port)))
    assert refusal.reason in ("URL_FORBIDDEN", "URL_INVALID") or any(name in url for name in UNRESOLVED)
    assert server.connections == 0


@pytest.mark.parametrize("url", LOOPBACK + INTERNAL + NAMED + ODD)
async def test_a_redirect_to_a_hostile_url_is_refused_without_a_second_connection(url: str, server: WebServer) -> None:
    async with WebServer(host="127.0.0.2") as outside:
        location = url.replace("{port}", str(server.port))
        outside.answers["/"] = redirect(location)
        async with _fetching(fetch_allow=(f"127.0.0.2:{outside.port}",)) as fetcher:
            refusal = await _refusal(fetcher, outside.url(host="127.0.0.2"))
        assert refusal.problem.startswith("redirects to ")
        assert server.connections == 0
        assert outside.connections == 1


@pytest.mark.parametrize("url", INTERNAL + NAMED)
async def test_an_error_does_not_tell_what_a_name_or_a_redirect_led_to(url: str) -> None:
    async with WebServer() as outside:
        outside.answers["/"] = redirect(url)
        async with _fetching(fetch_allow=(f"127.0.0.1:{outside.port}",)) as fetcher:
            told = str(await _refusal(fetcher, outside.url()))
    host = url.split("/")[2]
    assert host not in told
    for address in NAMES.get(host, []):
        assert address not in told


def test_there_are_enough_hostile_urls() -> None:
    assert len(set(LOOPBACK + INTERNAL + NAMED + ODD + NO_LOCATIONS)) >= 100
