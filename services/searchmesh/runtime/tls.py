"""Certificates, read again when their files change: cert-manager renews them long before a process restarts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import grpc

from searchmesh.runtime.errors import FailedPrecondition

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tls:
    """PEM files. A server needs its certificate and key; a client needs what it trusts, and shows a certificate if it
    has one.
    """

    cert: Path | None = None
    """Chain of this process."""
    key: Path | None = None
    ca: Path | None = None
    """What the other side's certificate must be signed by."""

    def version(self) -> tuple[int, ...]:
        """Changes when a file does. Raises FailedPrecondition for a file that is not there."""
        try:
            return tuple(file.stat().st_mtime_ns for file in (self.cert, self.key, self.ca) if file)
        except OSError as error:
            raise _unreadable(error) from error

    def server_credentials(self, *, require_client: bool) -> grpc.ServerCredentials:
        """For a port; each handshake takes the files as they are then. Files that cannot be read keep the last ones.

        `require_client`: callers must show a certificate signed by `ca`.
        """
        seen = self.version()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal seen
            try:
                version = self.version()
                if version == seen:
                    return None
                configuration = self._server_configuration(require_client)
            except FailedPrecondition as error:
                log.error("the certificate is not renewed: %s", error.message)
                return None
            seen = version
            log.info("certificate renewed")
            return configuration

        initial = self._server_configuration(require_client)
        return grpc.dynamic_ssl_server_credentials(initial, fetch, require_client)  # type: ignore[arg-type]  # or None

    def _server_configuration(self, require_client: bool) -> grpc.ServerCertificateConfiguration:
        if self.cert is None or self.key is None or (require_client and self.ca is None):
            raise FailedPrecondition("a TLS port needs a certificate and its key, and a CA to check callers by")
        pair = (_read(self.key), _read(self.cert))
        return grpc.ssl_server_certificate_configuration([pair], _read(self.ca) if require_client and self.ca else None)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel, from the files as they are now. Raises FailedPrecondition if one cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca) if self.ca else None,
            private_key=_read(self.key) if self.key else None,
            certificate_chain=_read(self.cert) if self.cert else None,
        )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> FailedPrecondition:
    return FailedPrecondition(f"{error.filename} cannot be read: {error.strerror}", reason="TLS_FILE")
