"""Values: what is misspelt or impossible is refused by name, and every key does something."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.chart import (
    CHART,
    MODES,
    NAMESPACE,
    Refused,
    component,
    containers,
    environment,
    named,
    of_kind,
    pods,
    render,
    rendered,
    tools,
)
from support.chart import template as pod_of

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def _merged(base: Any, own: Any) -> Any:
    """As Helm merges values files."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return base | {key: _merged(base.get(key), value) for key, value in own.items()}


@pytest.mark.parametrize("mode", MODES)
def test_the_schema_takes_every_mode(mode: str) -> None:
    own = yaml.safe_load((CHART / "ci" / f"{mode}.yaml").read_text())
    jsonschema.validate(VALUES, SCHEMA)
    jsonschema.validate(_merged(VALUES, own), SCHEMA)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("imagePullPolicy=Always", "imagePullPolicy"),
        ("services.embeddings.port=7101", "embeddings"),
        ("services.router.port=80", "/services/router/port"),
        ("services.router.replica=3", "replica"),
        ("podSecurity.runAsUser=0", "/podSecurity/runAsUser"),
        ("triton.runAsUser=0", "/triton/runAsUser"),
        ("image.digest=sha256:123", "/image/digest"),
        ("image.digest=latest", "/image/digest"),
        ("modelRepository.mode=nfs", "/modelRepository/mode"),
        ("autoscaling.backend=vpa", "/autoscaling/backend"),
        ("redisIndex.mode=none", "/redisIndex/mode"),
        ("redisIndex.maxmemory=lots", "/redisIndex/maxmemory"),
        ("triton.pools.encoders.gpu.count=-1", "/triton/pools/encoders/gpu/count"),
        ("triton.poolDefaults.autoscaling.targetUtilization=1.5", "targetUtilization"),
        ("triton.pools.a-name-that-is-far-too-long.models={x}", "far-too-long"),
        ("drain.preStopSeconds=0", "/drain/preStopSeconds"),
        ("services.router.settings.Max=3", "Max"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(value: str, named: str) -> None:
    with pytest.raises(Refused) as refused:
        render("default", value)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("tls.enabled=true",), "tls.issuerRef.name"),
        (("tls.enabled=true", "tls.mode=existingSecret"), "tls.existingSecret"),
        (
            ("autoscaling.backend=keda", "triton.pools.encoders.autoscaling.enabled=false"),
            "autoscaling.prometheusAddress",
        ),
        (
            ("autoscaling.backend=hpa",),
            "triton.pools.encoders.autoscaling.itemsPerSecondPerPod has no figure for all-Mini",
        ),
        (("modelRepository.mode=s3",), "modelRepository.s3.url"),
        (("modelRepository.mode=image",), "modelRepository.image.reference"),
        (("route.enabled=true",), "route.parentRefs"),
        (("ingress.enabled=true",), "ingress.host"),
        (("redisIndex.url=",), "redisIndex.url"),
        (("services.embedding.pools={other}",), '"other", which triton.pools does not have'),
        (("services.vlm.enabled=true",), "services.vlm.pools"),
        (
            (
                "autoscaling.backend=hpa",
                "triton.pools.encoders.autoscaling.itemsPerSecondPerPod.all-MiniLM-L6-v2=900",
                "triton.pools.encoders.autoscaling.minReplicas=0",
            ),
            "services.embedding is not ready without its default model",
        ),
        (
            (
                "autoscaling.backend=hpa",
                "triton.pools.encoders.autoscaling.slotsPerPod=8",
                "triton.pools.encoders.autoscaling.minReplicas=0",
            ),
            "triton.pools.encoders generates",
        ),
        (("triton.pools.encoders.engine=l4",), '"l4", which jobs.engines does not have'),
        (
            ("jobs.models.enabled=true", "modelRepository.mode=image", "modelRepository.image.reference=x"),
            "jobs.models",
        ),
    ],
)
def test_what_is_missing_is_named(sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(Refused) as refused:
        render("default", *sets)
    assert said in str(refused.value)


def test_kubernetes_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        render("default", kubernetes="1.30.0")
    assert "1.31" in str(refused.value)


def _keys(values: Any, path: str = "") -> Iterator[str]:
    if isinstance(values, dict) and values:
        for key, inner in values.items():
            yield from _keys(inner, f"{path}.{key}")
    else:
        yield path


def test_every_value_is_read_by_a_template() -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for path in _keys(VALUES):
        name = path.rpartition(".")[2]
        # What is passed on whole: names that users choose, and Kubernetes' own fields.
        free = (
            ".settings.",
            ".resources.",
            ".requests",
            ".limits",
            ".annotations.",
            ".dashboards.labels.",
            ".issuerRef.",
        )
        if not any(part in path for part in free) and ".p99Seconds." not in path:
            assert re.search(rf"\b{name}\b", templates), f"no template reads {path}"


def test_every_value_is_in_the_schema() -> None:
    """A closed schema refuses what it does not list; this is the other way round."""
    for path in _schema_paths(SCHEMA):
        where: Any = VALUES
        for key in path.split("."):
            if where == {}:
                break  # what is free to be left out altogether
            assert key in where, f"values.yaml does not show {path}"
            where = where[key]


def _schema_paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        # Images, services and pools: their defaults are shown once, not wherever they may stand.
        return
    for key, inner in schema.get("properties", {}).items():
        at = f"{path}.{key}".lstrip(".")
        yield at
        yield from _schema_paths(inner, at)


def test_one_key_moves_every_image() -> None:
    for name, pod in pods(rendered("airgap")):
        for container in containers(pod):
            assert container["image"].startswith("registry.airgap.local:5000/"), name


def test_a_digest_goes_before_a_tag() -> None:
    for name, pod in pods(rendered("image-volume")):
        if component(pod) in ("router", "embedding", "reranker"):
            image = pod["spec"]["containers"][0]["image"]
            assert re.fullmatch(r"registry\.example\.com/searchmesh/services@sha256:[0-9a-f]{64}", image), name


def test_settings_reach_the_environment_as_written() -> None:
    objects = render(
        "default", "services.embedding.settings.max_queued_tokens=1048576", "services.embedding.settings.x=0.5"
    )
    variables = environment(containers(pod_of(named(objects, "Deployment", "embedding")))[0])
    assert variables["SEARCHMESH_MAX_QUEUED_TOKENS"] == "1048576"
    assert variables["SEARCHMESH_X"] == "0.5"
    assert variables["SEARCHMESH_MAX_BATCH_ROWS"] == "256"


def test_a_service_reaches_the_models_of_all_its_pools() -> None:
    variables = environment(containers(pod_of(named(rendered("keda-tls"), "Deployment", "embedding")))[0])
    assert variables["SEARCHMESH_DEFAULT_MODEL"] == "jina-embeddings-v3"
    assert variables["SEARCHMESH_TRITON_URL"] == "dns:///mesh-searchmesh-triton-encoders-headless.search.svc:8001"
    assert variables["SEARCHMESH_TRITON_ROUTES"] == (
        "jina-code-embeddings-0.5b=dns:///mesh-searchmesh-triton-code-headless.search.svc:8001"
    )


def test_the_reader_has_images_read_where_there_is_a_vision_language_service() -> None:
    def given(mode: str) -> set[str]:
        entries = containers(pod_of(named(rendered(mode), "Deployment", "reader")))[0]["env"]
        return {f"{entry['name']}={entry.get('value')}" for entry in entries if "VLM" in entry["name"]}

    assert given("keda-tls") == {"SEARCHMESH_VLM_TARGET=dns:///mesh-searchmesh-vlm-headless.search.svc:7104"}
    assert given("airgap") == set()


def test_a_user_can_name_the_models_of_a_pool_and_drop_the_default_one() -> None:
    names = {component(pod) for _, pod in pods(rendered("hpa-engines"))}
    assert {"triton-l4", "triton-a100"} <= names
    assert "triton-encoders" not in names


def test_a_pool_asks_for_what_it_was_given() -> None:
    gpu = containers(pod_of(named(rendered("keda-tls"), "Deployment", "triton-encoders")))[0]
    assert gpu["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    cpu = containers(pod_of(named(rendered("cpu-only"), "Deployment", "triton-encoders")))[0]
    assert set(cpu["resources"]["limits"]) == {"memory"}


def test_only_who_may_fetch_reaches_the_internet_and_never_a_private_range() -> None:
    objects = rendered("keda-tls")
    open_to = set()
    for policy in (one for one in objects if one["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                block = peer.get("ipBlock", {})
                if block.get("cidr") in ("0.0.0.0/0", "::/0"):
                    open_to.add(policy["metadata"]["labels"]["app.kubernetes.io/component"])
                    private = {"10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8"} if "." in block["cidr"] else {"fc00::/7"}
                    assert private <= set(block["except"])
    assert open_to == {"reader", "models"}


def test_grace_periods_are_computed() -> None:
    objects = render("default", "drain.graceSeconds=100", "drain.preStopSeconds=20")
    for name in ("router", "triton-encoders"):
        pod = pod_of(named(objects, "Deployment", name))
        assert pod["spec"]["terminationGracePeriodSeconds"] == 125


def test_secrets_are_named_and_never_written() -> None:
    kinds = {one["kind"] for mode in MODES for one in rendered(mode)}
    assert "Secret" not in kinds


def test_notes_warn_of_what_is_missing() -> None:
    def notes(mode: str) -> str:
        arguments = ["install", "mesh", str(CHART), "--namespace", NAMESPACE, "--dry-run=client"]
        program = [str(tools() / "helm4"), *arguments, "--values", str(CHART / "ci" / f"{mode}.yaml")]
        environment = os.environ | {"KUBECONFIG": "/dev/null"}
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    open_one = notes("default")
    for warned in ("plaintext", "names no registry", "no Job fills it", "no alerts"):
        assert warned in open_one
    whole = notes("keda-tls")
    assert "plaintext" not in whole
    assert "without a key" not in whole
    assert "900 items/s a pod" in whole
    assert "dns:///mesh-searchmesh-router-headless.search.svc:7100" in whole


def test_extra_objects_are_rendered_as_templates(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}
    base = yaml.safe_load((CHART / "ci/default.yaml").read_text())
    values.write_text(yaml.safe_dump(base | {"extraObjects": [extra]}))
    assert [one["metadata"]["name"] for one in of_kind(render(values), "ConfigMap")] == ["mesh-extra"]
