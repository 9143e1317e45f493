"""Settings of services that fetch URLs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from searchmesh.fetch.addresses import parse_network
from searchmesh.fetch.policy import Allowed
from searchmesh.runtime.settings import ServiceSettings


class FetchSettings(ServiceSettings):
    """Whether URLs are fetched, from where, and how much of them."""

    fetch_enabled: bool = False
    """Fetch http and https URLs that callers name. Off, such a request fails and says so."""

    fetch_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Exceptions, separated by commas: host names (``wiki.example.com``, ``*.example.com``) that may have private
    addresses, addresses and networks (``10.1.0.0/16``) that may be of any kind; each with a ``:port`` if it is not 80
    or 443."""

    fetch_allow_only: bool = False
    """Fetch nothing but what `fetch_allow` lists."""

    fetch_deny: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks that are never fetched from, separated by commas, whatever `fetch_allow` says. Where nodes or pods have
    public addresses, list them here: nothing else tells them from the internet."""

    fetch_max_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Bytes of one response as sent."""

    fetch_max_decoded_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    """Bytes of one response after decompression. HTML shrinks to a fifth or less, a bomb to a thousandth."""

    fetch_timeout_s: float = Field(default=20.0, gt=0)
    """Longest time for one URL with all its redirects, to the last byte, however slowly they come."""

    fetch_connect_timeout_s: float = Field(default=5.0, gt=0)
    """Longest wait for a connection to one address, and for TLS on it."""

    fetch_idle_timeout_s: float = Field(default=10.0, gt=0)
    """Longest wait for the next bytes."""

    fetch_max_redirects: int = Field(default=5, ge=0)
    """Redirects that are followed; each is checked like the first URL."""

    fetch_concurrency: int = Field(default=32, ge=1)
    """URLs fetched at once by one process; more wait."""

    fetch_user_agent: str = "searchmesh"
    """What servers are told in User-Agent."""

    @field_validator("fetch_allow", "fetch_deny", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(entry.strip() for entry in value.split(",") if entry.strip())
        return value

    @field_validator("fetch_allow")
    @classmethod
    def _check_allow(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            Allowed.parse(entry)
        return entries

    @field_validator("fetch_deny")
    @classmethod
    def _check_deny(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            parse_network(entry)
        return entries
