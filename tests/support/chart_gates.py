"""What a rendered chart has to pass. Each gate gives a list of problems; `tests/deploy/test_chart_mutations.py` shows
that each finds what it is there for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import promql_parser
import yaml

from support.chart import Object, of_kind, pods, run

VERSIONS = ("1.31", "1.34", "1.37")

CRD_MODELS = {
    "keda.sh": "cloudcoil.models.keda.v1alpha1",
    "cert-manager.io": "cloudcoil.models.cert_manager.v1",
    "monitoring.coreos.com": "cloudcoil.models.prometheus_operator.v1",
}
"""API groups of operators, with the package that has their schemas."""

NEWER_THAN_MODELS = {"ScaledObject.spec.fallback.behavior"}
"""Fields that KEDA has from 2.17 on and the models for Python 3.11, those of 2.16, have not."""

_NAME = {"type": "string", "maxLength": 253}
_GRPC_ROUTE: Object = {
    "required": ["spec"],
    "properties": {
        "spec": {
            "additionalProperties": False,
            "properties": {
                "parentRefs": {
                    "items": {
                        "additionalProperties": False,
                        "required": ["name"],
                        "properties": {
                            key: {} for key in ("group", "kind", "namespace", "name", "sectionName", "port")
                        },
                    }
                },
                "hostnames": {"items": _NAME},
                "rules": {
                    "maxItems": 16,
                    "items": {
                        "additionalProperties": False,
                        "properties": {
                            "name": _NAME,
                            "matches": {
                                "items": {
                                    "additionalProperties": False,
                                    "properties": {
                                        "headers": {},
                                        "method": {
                                            "additionalProperties": False,
                                            "properties": {
                                                "type": {"enum": ["Exact", "RegularExpression"]},
                                                "service": _NAME,
                                                "method": _NAME,
                                            },
                                        },
                                    },
                                }
                            },
                            "filters": {},
                            "sessionPersistence": {},
                            "backendRefs": {
                                "items": {
                                    "additionalProperties": False,
                                    "required": ["name", "port"],
                                    "properties": {
                                        "name": _NAME,
                                        "port": {"type": "integer"},
                                        **{key: {} for key in ("group", "kind", "namespace", "weight", "filters")},
                                    },
                                }
                            },
                        },
                    },
                },
            },
        }
    },
}
"""GRPCRoute v1 of the Gateway API, of which no package on PyPI has a schema."""


def schemas(objects: list[Object], versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """Against Kubernetes' own schemas, unknown fields refused. A kind that a version lacks (a removed API) is a problem
    unless an operator brings it."""
    problems = []
    for version in versions:
        for one in objects:
            group = one["apiVersion"].rpartition("/")[0]
            if group in CRD_MODELS or group == "gateway.networking.k8s.io":
                continue
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{version} {label(one)} {'.'.join(map(str, error.path))}: {error.message[:300]}")
            except kubernetes_validate.SchemaNotFoundError:
                problems.append(f"{version} {label(one)}: Kubernetes has no {one['apiVersion']} {one['kind']}")
    return problems


def custom_resources(objects: list[Object]) -> list[str]:
    """Against the operators' schemas: types, enums, and no field that they do not know."""
    problems = []
    for one in objects:
        group = one["apiVersion"].rpartition("/")[0]
        if group == "gateway.networking.k8s.io":
            problems += [f"{label(one)}: {error.message}" for error in _errors(_GRPC_ROUTE, one)]
        if group not in CRD_MODELS:
            continue
        model = getattr(import_module(CRD_MODELS[group]), one["kind"], None)
        if model is None:
            problems.append(f"{label(one)}: {group} has no such kind")
            continue
        try:
            kept = model.model_validate(one).model_dump(by_alias=True, exclude_unset=True, mode="json")
        except ValueError as error:
            problems.append(f"{label(one)}: {error}")
            continue
        problems += [f"{label(one)}: unknown field {path}" for path in _lost(one, kept, one["kind"])]
    return problems


def _errors(schema: Mapping[str, Any], one: Object) -> Iterator[jsonschema.ValidationError]:
    return iter(jsonschema.Draft7Validator(schema).iter_errors(one))


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    """Paths that were given and that a model, which ignores what it does not know, did not keep."""
    if isinstance(given, dict):
        for key, value in given.items():
            at = f"{path}.{key}"
            if at in NEWER_THAN_MODELS:
                continue
            if not isinstance(kept, dict) or key not in kept:
                yield at
            else:
                yield from _lost(value, kept[key], at)
    elif isinstance(given, list):
        for position, (inner, outer) in enumerate(zip(given, kept, strict=False)):
            yield from _lost(inner, outer, f"{path}[{position}]")


def queries(objects: list[Object], folder: Path) -> list[str]:
    """Every PromQL expression parses; promtool takes the rules."""
    problems = []
    for where, query in expressions(objects):
        try:
            promql_parser.parse(query)
        except ValueError as error:
            problems.append(f"{where}: {error} in {query}")
    for rule in of_kind(objects, "PrometheusRule"):
        file = folder / "rules.yaml"
        file.write_text(yaml.safe_dump(rule["spec"], sort_keys=False))
        done = run("promtool", "check", "rules", str(file))
        if done.returncode or "FAILED" in done.stdout + done.stderr:
            problems.append(f"{label(rule)}: {done.stdout}{done.stderr}")
    return problems


def formulas(objects: list[Object], folder: Path, *cases: Path) -> list[str]:
    """The rules do on synthetic counters what the cases (promtool's test files) say."""
    (rule,) = of_kind(objects, "PrometheusRule")
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    problems = []
    for case in cases:
        (folder / case.name).write_text(case.read_text())
        done = run("promtool", "test", "rules", str(folder / case.name))
        if done.returncode:
            problems.append(done.stdout + done.stderr)
    return problems


def expressions(objects: list[Object]) -> Iterator[tuple[str, str]]:
    """Every PromQL expression of rules and scalers, and where it stands."""
    for rule in of_kind(objects, "PrometheusRule"):
        for group in rule["spec"]["groups"]:
            for one in group["rules"]:
                yield one.get("alert") or one["record"], one["expr"]
    for scaler in of_kind(objects, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield label(scaler), trigger["metadata"]["query"]


def restricted(objects: list[Object]) -> list[str]:
    """The Pod Security Standard "restricted", and what production asks of a pod besides."""
    return [f"{name}: {problem}" for name, pod in pods(objects) for problem in _pod_problems(pod)]


_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_VOLUMES |= {"image"}  # read-only content of an OCI image, allowed since there is such a volume


def _pod_problems(pod: Object) -> Iterator[str]:
    spec = pod["spec"]
    outer = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(field):
            yield f"{field} is set"
    if outer.get("runAsNonRoot") is not True or not outer.get("runAsUser"):
        yield "runs as root"
    if outer.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts a service-account token"
    if spec.get("enableServiceLinks") is not False:
        yield "has a variable for every Service of the namespace"
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is of a kind that is not allowed"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node's disk"
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for problem in _container_problems(container):
            yield f"{container['name']} {problem}"
    if spec.get("restartPolicy", "Always") == "Always":
        yield from _server_problems(spec)


def _container_problems(container: Object) -> Iterator[str]:
    inner = container.get("securityContext", {})
    if inner.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if inner.get("capabilities", {}).get("drop") != ["ALL"] or inner.get("capabilities", {}).get("add"):
        yield "keeps capabilities"
    if inner.get("readOnlyRootFilesystem") is not True:
        yield "writes to its root file system"
    if inner.get("privileged") or inner.get("runAsUser") == 0:
        yield "is privileged"
    resources = container.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    if "cpu" not in requests or "memory" not in requests:
        yield "requests no CPU or no memory"
    if limits.get("memory") != requests.get("memory"):
        yield "may take more memory than it requests"
    if "cpu" in limits:
        yield "is throttled by a CPU limit"
    if container["image"].endswith(":latest") or not re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]):
        yield f"runs an image that is not pinned, {container['image']}"


def _server_problems(spec: Object) -> Iterator[str]:
    for container in spec["containers"]:
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{container['name']} has no {probe}"


def label(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"
