"""What may be fetched: the rules for URLs, ports and addresses, and the operator's exceptions from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from searchmesh.fetch.addresses import PRIVATE, Address, Network, effective, parse_network, special_kind
from searchmesh.fetch.problems import FetchProblem, Reason

_DEFAULT_PORTS = {"http": 80, "https": 443}

_MAX_URL_CHARACTERS = 8192
"""What most web servers take."""

_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the allow-list: a host name (``*.`` for any below it) or a network, and optionally a port."""

    name: str
    network: Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """From ``host``, ``*.host``, an address or a network (IPv6 in brackets where a port follows), ``:port``."""
        match = re.fullmatch(
            r"\[(?P<v6>[^]]+)](?::(?P<v6port>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?|(?P<bare>.+)", text
        )
        if match is None:
            raise ValueError("an entry of the allow-list is empty")
        host = match["v6"] or match["host"] or match["bare"]
        digits = match["v6port"] or match["port"]
        port = int(digits) if digits else None
        if port is not None and not 0 < port < 65536:
            raise ValueError(f"{text!r} has no valid port")
        try:
            return cls("", parse_network(host), port)
        except ValueError:
            name = host.lower().rstrip(".")
            if not _NAME.fullmatch(name.removeprefix("*.")) or _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
                raise ValueError(f"{text!r} is neither a host name nor an address or network") from None
            return cls(name, None, port)

    def covers(self, host: str, port: int, address: Address, kind: str | None) -> bool:
        """Whether the entry is about this connection.

        An entry that is a name lets its host be public or private: who lists a name trusts its owner with that much,
        but not with the way to loopback or to a metadata service. Those need an entry that is an address.
        """
        if port != self.port and (self.port is not None or port not in _DEFAULT_PORTS.values()):
            return False
        if self.network is not None:
            return address in self.network or effective(address) in self.network
        named = host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name
        return named and kind in (None, PRIVATE)


class Policy:
    """The rules. Every check raises FetchProblem."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = (), *, only_allowed: bool = False) -> None:
        self._allow = [Allowed.parse(text) for text in allow]
        self._deny = [parse_network(text) for text in deny]
        self._only_allowed = only_allowed
        self._ports = {*_DEFAULT_PORTS.values(), *(entry.port for entry in self._allow)}

    def parse(self, text: str) -> httpx.URL:
        """A URL that may be asked for, as far as can be told without resolving its host."""
        if len(text) > _MAX_URL_CHARACTERS:
            raise FetchProblem(f"has more than {_MAX_URL_CHARACTERS} characters", Reason.INVALID)
        try:
            url = httpx.URL(text).copy_with(fragment=None)
        except httpx.InvalidURL as error:
            raise FetchProblem("is not a valid URL", Reason.INVALID) from error
        self.check_url(url)
        return url

    def check_url(self, url: httpx.URL) -> None:
        """Scheme, credentials, the form of the host, the port."""
        if url.scheme not in _DEFAULT_PORTS:
            raise FetchProblem("is neither http nor https", Reason.FORBIDDEN)
        if url.userinfo:
            raise FetchProblem("carries credentials, which are never sent", Reason.FORBIDDEN)
        host = url.raw_host.decode("ascii")
        if not host:
            raise FetchProblem("has no host", Reason.INVALID)
        if literal(host) is None:
            if not _NAME.fullmatch(host):
                raise FetchProblem("has a host that is neither a name nor an address", Reason.INVALID)
            if _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
                # getaddrinfo would read 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1; no page is linked that way.
                raise FetchProblem("has an address that is not written as four decimal numbers", Reason.FORBIDDEN)
        if url_port(url) not in self._ports:
            raise FetchProblem("names a port other than 80 and 443", Reason.FORBIDDEN)

    def check_addresses(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        """Every address, because which of them is connected to is up to the network."""
        for address in addresses:
            self._check_address(host.rstrip("."), port, address)

    def _check_address(self, host: str, port: int, address: Address) -> None:
        if any(address in network or effective(address) in network for network in self._deny):
            raise FetchProblem("leads to an address that is not to be fetched from", Reason.FORBIDDEN)
        kind = special_kind(address)
        if any(entry.covers(host, port, address, kind) for entry in self._allow):
            return
        if self._only_allowed:
            raise FetchProblem("has a host that is not on the list of allowed ones", Reason.FORBIDDEN)
        if kind is not None:
            raise FetchProblem(f"leads to a {kind} address; only public ones are fetched", Reason.FORBIDDEN)
        if port not in _DEFAULT_PORTS.values():
            raise FetchProblem("names a port other than 80 and 443", Reason.FORBIDDEN)


def literal(host: str) -> Address | None:
    """The address that a host is, in its usual form; None for a name."""
    try:
        return ip_address(host) if "%" not in host else None
    except ValueError:
        return None


def url_port(url: httpx.URL) -> int:
    """The port of an http or https URL."""
    return url.port if url.port is not None else _DEFAULT_PORTS[url.scheme]
