"""The network as the HTTP client sees it: each connection goes to an address that was checked, and to no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

import httpcore

from searchmesh.fetch.addresses import Address
from searchmesh.fetch.policy import Policy, literal
from searchmesh.fetch.problems import FetchProblem, Reason
from searchmesh.fetch.resolver import Resolver

_MAX_ATTEMPTS = 4
"""Addresses of one host that are tried in turn."""


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks all of its addresses, and connects to one of those, so that a second answer of the
    name server (DNS rebinding) never counts. TLS is wrapped around the connection by the HTTP client, which keeps the
    host name for SNI and for the certificate."""

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host)
        self._policy.check_addresses(host, port, addresses)
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses[:_MAX_ATTEMPTS]:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str) -> Sequence[Address]:
        if (address := literal(host)) is not None:
            return [address]
        try:
            found = [ip_address(text) for text in await self._resolver(host)]
        except (OSError, ValueError) as error:
            raise FetchProblem("has a host that cannot be resolved", Reason.UNREACHABLE) from error
        if not found:
            raise FetchProblem("has a host that cannot be resolved", Reason.UNREACHABLE)
        return found
