"""Settings of a service process: read once at start from ``SEARCHMESH_…`` variables, then frozen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from searchmesh.runtime.tls import Tls

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s]*):([^/@\s]*)@")


class ServiceSettings(BaseSettings):
    """What every service has. Subclasses add their own fields and set `port`. Names carry their units."""

    model_config = SettingsConfigDict(
        env_prefix="SEARCHMESH_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on. Containers set 0.0.0.0."""

    port: int = Field(default=0, ge=0, le=65335)
    """gRPC port. Health-only gRPC is on port + 100, Prometheus metrics on port + 200."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the gRPC port (SO_REUSEPORT). On Kubernetes scale pods instead."""

    worker: int = Field(default=0, ge=0)
    """Which of the workers this process is; set by the parent. Worker n has its metrics on port + 200 + n * 100."""

    share_port: bool = False
    """Listen with SO_REUSEPORT; set by the parent of several workers."""

    max_message_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest gRPC message, in and out."""

    max_in_flight: int = Field(default=256, ge=1)
    """Calls worked on at once by one process; more are shed with RESOURCE_EXHAUSTED."""

    max_connection_age_s: float = Field(default=120.0, gt=0)
    """Age at which the server closes a connection. Without it a client that is connected never sees a new pod."""

    max_connection_age_grace_s: float = Field(default=60.0, gt=0)
    """Time that calls on an aged connection have to finish."""

    keepalive_s: float = Field(default=30.0, gt=0)
    """Interval of HTTP/2 pings on idle connections, so that dead peers and silent NATs are noticed."""

    drain_wait_s: float = Field(default=1.0, ge=0)
    """Time between NOT_SERVING and refusing new calls on SIGTERM: what callers who watch health need to leave."""
    # Calls that cross the refusal end CANCELLED, which nobody retries. 16 callers of a 10 ms method, two replicas
    # replaced six times each: 34 of 11,680 without a wait, none of 22,478 with 0.5 s.

    drain_grace_s: float = Field(default=30.0, gt=0)
    """Time that accepted calls have to finish after that."""

    tls_cert: Path | None = None
    """PEM file with this process's certificate chain, for its gRPC port and for its calls to other parts. The health
    port stays plaintext. Files are read again when they change."""

    tls_key: Path | None = None
    """PEM file with its key."""

    tls_ca: Path | None = None
    """PEM file with what the other parts' certificates must be signed by, and those of callers."""

    tls_client_auth: bool = True
    """Callers must show a certificate. False where callers from outside come without one, and with an API key."""

    api_keys_file: Path | None = None
    """File of API keys, one a line; callers must send one of them. None: callers need no key."""

    otlp_endpoint: str = ""
    """OTLP/HTTP collector, such as ``http://collector:4318``. Empty: no traces."""

    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of traces that start here and are kept; a caller's own decision is always followed."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if len({file is None for file in (self.tls_cert, self.tls_key, self.tls_ca)}) > 1:
            raise ValueError("tls_cert, tls_key and tls_ca go together")
        return self

    @property
    def tls(self) -> Tls | None:
        """The certificates of this process; None: plaintext."""
        return Tls(self.tls_cert, self.tls_key, self.tls_ca) if self.tls_cert else None

    @property
    def health_port(self) -> int:
        """Plaintext gRPC port that serves grpc.health.v1 alone (Kubernetes probes cannot do mTLS)."""
        return self.port + 100

    @property
    def metrics_port(self) -> int:
        """Prometheus scrape port of this worker."""
        return self.port + 200 + 100 * self.worker


def shown(settings: BaseSettings) -> str:
    """The settings as JSON for ``--show-config``; passwords in URLs are masked."""

    def mask(value: Any) -> Any:
        return _PASSWORD_IN_URL.sub(r"\1:****@", value) if isinstance(value, str) else value

    return json.dumps({k: mask(v) for k, v in settings.model_dump(mode="json").items()}, indent=2)
