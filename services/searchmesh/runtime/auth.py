"""API keys: who may call a service from outside the mesh."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from searchmesh.runtime.errors import FailedPrecondition, Unauthenticated

log = logging.getLogger(__name__)

_CHECK_S = 5.0
"""How often the file is looked at: a new key works, and a removed one stops to, within this time."""

_SHORTEST = 16
"""Characters of a key; shorter ones can be guessed."""


class ApiKeys:
    """The keys of a file, one a line; empty lines and lines that begin with ``#`` are left out.

    Keys are compared by their SHA-256, so the time that it takes tells nothing about them.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digests, self._version = self._load()
        self._next_check = time.monotonic() + _CHECK_S

    def check(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Raise Unauthenticated unless the call's metadata hold a key: ``authorization: Bearer KEY``."""
        self._renew()
        for name, value in metadata:
            if name == "authorization" and isinstance(value, str):
                scheme, _, key = value.partition(" ")
                if scheme.lower() == "bearer" and sha256(key.strip().encode()).digest() in self._digests:
                    return
                raise Unauthenticated("the API key is not known here")
        raise Unauthenticated("an API key is needed, in the metadata `authorization` as `Bearer KEY`")

    def _renew(self) -> None:
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_S
        try:
            if self._file.stat().st_mtime_ns != self._version:
                self._digests, self._version = self._load()
                log.info("%d API keys read", len(self._digests))
        except (OSError, FailedPrecondition) as error:
            log.error("the API keys stay as they were: %s", error)

    def _load(self) -> tuple[frozenset[bytes], int]:
        try:
            version = self._file.stat().st_mtime_ns
            lines = [line.strip() for line in self._file.read_text(encoding="utf-8").splitlines()]
        except OSError as error:
            raise FailedPrecondition(
                f"{self._file} cannot be read: {error.strerror}", reason="API_KEYS_FILE"
            ) from error
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys or min(map(len, keys)) < _SHORTEST:
            raise FailedPrecondition(
                f"{self._file} needs at least one key, each of at least {_SHORTEST} characters", reason="API_KEYS_FILE"
            )
        return frozenset(sha256(key.encode()).digest() for key in keys), version
