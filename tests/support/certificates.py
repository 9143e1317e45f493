"""Certificates for tests, signed by an authority of the test's own."""

from __future__ import annotations

from pathlib import Path

import trustme

from searchmesh.runtime.tls import Tls


class Certificates:
    """An authority with files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")

    def issue(self, name: str = "own", host: str = "127.0.0.1") -> Tls:
        """Write a certificate for `host`, over the one that `name` had."""
        issued = self.authority.issue_cert(host)
        tls = Tls(self._folder / f"{name}.pem", self._folder / f"{name}.key", self._folder / "ca.pem")
        assert tls.cert is not None
        assert tls.key is not None
        tls.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(tls.key)
        return tls
