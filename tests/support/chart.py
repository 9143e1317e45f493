"""The Helm chart, rendered: what the tests of `deploy/helm` look at."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/searchmesh"
MODES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
RELEASE, NAMESPACE = "mesh", "search"
NAME = f"{RELEASE}-searchmesh"

Object = dict[str, Any]


class Refused(Exception):
    """Helm did not render; the text is what it says."""


@functools.cache
def tools() -> Path:
    """The folder with helm3, helm4 and promtool."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/deploy-tools")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the tools, to its end."""
    return subprocess.run([str(tools() / program), *arguments], capture_output=True, text=True, check=False)


def render(
    values: Path | str | None = None,
    *sets: str,
    helm: str = "helm4",
    chart: Path = CHART,
    release: str = RELEASE,
    kubernetes: str = "1.34.0",
) -> list[Object]:
    """The chart's objects with a values file (a mode's name or a path) and ``--set`` arguments. Raises Refused."""
    file = chart / "ci" / f"{values}.yaml" if isinstance(values, str) else values
    arguments = ["template", release, str(chart), "--namespace", NAMESPACE, "--kube-version", kubernetes]
    arguments += [f"--values={file}"] if file else []
    for one in sets:
        arguments += ["--set", one]
    done = run(helm, *arguments)
    if done.returncode:
        raise Refused(done.stderr)
    return [document for document in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if document]


@functools.cache
def rendered(mode: str) -> list[Object]:
    """The objects of a mode, rendered once. Not to be changed."""
    return render(mode)


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of a kind whose name ends so."""
    found = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == f"{NAME}-{name}"]
    assert len(found) == 1, f"{len(found)} objects are {kind} {name}"
    return found[0]


WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")


def template(workload: Object) -> Object:
    """The pod (metadata and spec) of anything that makes pods."""
    if workload["kind"] == "Pod":
        return workload
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return dict(spec["template"])


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and pod template of everything that makes pods."""
    for workload in of_kind(objects, *WORKLOADS):
        yield f"{workload['kind']}/{workload['metadata']['name']}", template(workload)


def component(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Object) -> dict[str, str]:
    """The variables that have a plain value."""
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
