"""Client channels between services: load-balanced, kept alive, retrying UNAVAILABLE alone."""

from __future__ import annotations

import json

import grpc
import grpc.aio

from searchmesh.runtime.renewing import RenewingChannel
from searchmesh.runtime.tls import Tls

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message a client takes or sends; servers have their own, lower limits."""

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                # RESOURCE_EXHAUSTED is not retried here: at 2.5 x overload, retries of queue-full as UNAVAILABLE
                # multiplied the offered load by 3.3, as RESOURCE_EXHAUSTED by 1.0.
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # At most about one retry per ten successes in the long run.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
}


# A replica that drains or warms up gets no new calls. Without this a container that restarts under its old address is
# called as soon as it listens, long before it can answer. Servers without Watch (Triton's) count as healthy.
_HEALTH = {"healthCheckConfig": {"serviceName": ""}}


def channel_options(
    *, keepalive_s: float = 30.0, retry: bool = True, watch_health: bool = False
) -> list[tuple[str, int | str]]:
    """gRPC channel arguments of every client of the mesh."""
    config = _SERVICE_CONFIG if retry else {k: v for k, v in _SERVICE_CONFIG.items() if k != "methodConfig"}
    if watch_health:
        config = config | _HEALTH
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", round(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.http2.max_pings_without_data", 0),
        # grpc-core re-resolves at most every 30 s by default: too slow to find the pods of a scale-up.
        ("grpc.dns_min_time_between_resolutions_ms", 5000),
        # A restarted local server must be found again within a second, not after a backoff of up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def connect(
    target: str,
    *,
    tls: Tls | None = None,
    api_key: str = "",
    keepalive_s: float = 30.0,
    retry: bool = True,
    watch_health: bool = False,
) -> grpc.aio.Channel:
    """A channel to `target` (``host:port`` or ``dns:///name:port``), plaintext without `tls`. Connects lazily.

    `watch_health`: only replicas that say SERVING are called; for services of the mesh. Raises
    FailedPrecondition if a certificate cannot be read.
    """
    options = channel_options(keepalive_s=keepalive_s, retry=retry, watch_health=watch_health)

    def make() -> grpc.aio.Channel:
        if tls is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, tls.channel_credentials(), options=options)

    if tls is None and not api_key:
        return make()
    metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
    return RenewingChannel(make, tls.version if tls else tuple, metadata)
