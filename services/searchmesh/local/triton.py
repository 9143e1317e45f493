"""tritonserver with its Python backend, over the models of the repository."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from searchmesh.catalog.repository import VISION
from searchmesh.local import binaries, probes
from searchmesh.local.child import Child
from searchmesh.local.guard import shared_memory_prefix
from searchmesh.local.ports import LOOPBACK
from searchmesh.local.settings import MeshSettings
from searchmesh.runtime.errors import FailedPrecondition

NAME = "triton"


def triton(settings: MeshSettings, run: str) -> Child:
    """The child, serving `settings.models`; `run` is the mark of the run (see `local.guard`)."""
    home, ports = settings.folder, settings.ports
    return Child(
        name=NAME,
        argv=(
            str(binaries.tritonserver()),
            # Relative to the home: Triton starts model processes through a shell, in which a space ends a path.
            f"--model-repository={home.repository.relative_to(home.path)}",
            f"--backend-directory={home.backends.relative_to(home.path)}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in settings.models),
            "--disable-auto-complete-config",
            "--strict-readiness=true",
            "--exit-on-error=true",
            f"--exit-timeout-secs={settings.drain_s}",
            *(f"--grpc-address={LOOPBACK}", f"--grpc-port={ports.triton_grpc}"),
            *(f"--http-address={LOOPBACK}", f"--http-port={ports.triton_http}"),
            *("--allow-metrics=true", f"--metrics-address={LOOPBACK}", f"--metrics-port={ports.triton_metrics}"),
            "--grpc-infer-response-compression-level=none",
            # The services ping every 30 s while a call is open; the default of 5 minutes would close the connection.
            "--grpc-http2-min-recv-ping-interval-without-data=5000",
            # HTTP is for people and probes; the services use gRPC.
            "--http-thread-count=1",
            # Several meshes share /dev/shm, and the guard removes what a killed one left there.
            f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix(f'{run}{NAME}/')}",
            f"--backend-config=python,stub-timeout-seconds={round(settings.ready_timeout_s)}",
            *_tracing(settings.otlp_endpoint),
        ),
        env=_environment(),
        ports={"gRPC": ports.triton_grpc, "HTTP": ports.triton_http, "metrics": ports.triton_metrics},
        # It has aborted (boost's lock_exception) while many model processes started on a busy machine, and not again.
        first_tries=2,
        ready=partial(probes.triton_serves, ports.triton_grpc, settings.models),
        prepare=partial(_link_backend, home.backends),
        ready_timeout_s=settings.ready_timeout_s,
        stop_grace_s=settings.stop_grace_s,
    )


def served_models(settings: MeshSettings) -> tuple[str, ...]:
    """The models that the settings name, each with its graph of images, or all of the repository.

    Raises FailedPrecondition, saying what to run.
    """
    repository = settings.folder.repository
    present = tuple(sorted(file.parent.name for file in repository.glob("[!.]*/config.pbtxt")))
    wanted = settings.models or present or (settings.default_model,)
    if missing := [model for model in wanted if model not in present]:
        raise FailedPrecondition(
            f"the model {missing[0]} is not in {repository}, which has {', '.join(present) or 'none'}; "
            f"run: searchmesh models export {missing[0]}",
            reason="MODEL_NOT_EXPORTED",
        )
    return tuple(dict.fromkeys(name for model in wanted for name in (model, model + VISION) if name in present))


def _link_backend(folder: Path) -> None:
    """Make the backend folder: links into the wheel, with the model program of this Python beside the backend."""
    python = folder / "python"
    python.mkdir(parents=True, exist_ok=True)
    for file in binaries.python_backend_files():
        link = python / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file)


def _environment() -> dict[str, str]:
    libraries = [binaries.python_library_folder(), binaries.triton_libraries(), os.environ.get("LD_LIBRARY_PATH")]
    return os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries if folder),
        "PATH": os.pathsep.join([str(binaries.python_program_folder()), os.environ.get("PATH", os.defpath)]),
    }


def _tracing(otlp_endpoint: str) -> tuple[str, ...]:
    if not otlp_endpoint:
        return ()
    return (
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={otlp_endpoint.rstrip('/')}/v1/traces",
        "--trace-config=opentelemetry,resource=service.name=triton",
        "--trace-config=rate=1",
        "--trace-config=level=TIMESTAMPS",
    )
