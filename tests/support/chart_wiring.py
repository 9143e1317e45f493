"""Whether the objects of a rendered chart fit together: names, ports, selectors, times, and who may call whom."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from support.chart import NAMESPACE, WORKLOADS, Object, component, containers, environment, of_kind, pods, template
from support.chart_gates import expressions, label

_TARGET = re.compile(r"(?:dns:///|rediss?://(?::\$\(\w+\)@)?)([\w.-]+?\.svc):(\d+)")


def wiring(objects: list[Object]) -> list[str]:
    """Every problem."""
    checks = (_names, _scaling, _grace, _services, _targets, _edges, _references, _backends, _certificates, _signals)
    return [f"{check.__name__[1:]}: {problem}" for check in checks for problem in check(objects)]


def _names(objects: list[Object]) -> Iterator[str]:
    for (kind, name), number in Counter((one["kind"], one["metadata"]["name"]) for one in objects).items():
        if number > 1:
            yield f"{number} objects are {kind}/{name}"
        if len(name) > 63:
            yield f"{kind}/{name} is longer than a label"


def _scaling(objects: list[Object]) -> Iterator[str]:
    deployments = {one["metadata"]["name"]: one for one in of_kind(objects, "Deployment")}
    scaled = set()
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        scaled.add(target)
        if target not in deployments:
            yield f"{label(scaler)} scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"{target} has replicas beside its scaler: each upgrade would reset them"
        names = (
            [c["name"] for c in template(deployments[target])["spec"]["containers"]] if target in deployments else []
        )
        for wanted in _scaled_containers(scaler):
            if wanted not in names:
                yield f"{label(scaler)} watches container {wanted}, which is not there"
    for name, deployment in deployments.items():
        if name not in scaled and "replicas" not in deployment["spec"]:
            yield f"{name} has neither replicas nor a scaler"


def _scaled_containers(scaler: Object) -> Iterator[str]:
    for metric in scaler["spec"].get("metrics", []):
        if metric["type"] == "ContainerResource":
            yield metric["containerResource"]["container"]
    for trigger in scaler["spec"].get("triggers", []):
        if trigger["type"] == "cpu":
            yield trigger["metadata"]["containerName"]


def _grace(objects: list[Object]) -> Iterator[str]:
    """A pod is killed only after its sleep and its drain have had their time."""
    for workload in of_kind(objects, "Deployment"):
        spec = template(workload)["spec"]
        for container in spec["containers"]:
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
            drain = _drain_s(container)
            if sleep is None or drain is None:
                yield f"{label(workload)} does not drain"
            elif spec.get("terminationGracePeriodSeconds", 30) < sleep + drain + 5:
                yield f"{label(workload)} is killed before {sleep} s of sleep and {drain} s of drain are over"


def _drain_s(container: Object) -> float | None:
    for argument in container.get("args", []):
        if found := re.fullmatch(r"--exit-timeout-secs=(\d+)", argument):
            return float(found[1])
    seconds = environment(container).get("SEARCHMESH_DRAIN_GRACE_S")
    return None if seconds is None else float(seconds)


def _services(objects: list[Object]) -> Iterator[str]:
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    for service in of_kind(objects, "Service"):
        found = [one for one in workloads if _matches(service["spec"]["selector"], template(one))]
        if len(found) != 1:
            yield f"{label(service)} selects {len(found)} workloads"
            continue
        ports = {
            port["name"]: port["containerPort"] for c in containers(template(found[0])) for port in c.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"{label(service)} port {port['name']} does not lead to a port of the pod"
    for workload in workloads:
        if not _matches(workload["spec"]["selector"]["matchLabels"], template(workload)):
            yield f"{label(workload)} does not select its own pods"
        if workload["kind"] == "StatefulSet" and not any(
            one["metadata"]["name"] == workload["spec"]["serviceName"] for one in of_kind(objects, "Service")
        ):
            yield f"{label(workload)} names a Service that is not there"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        if sum(_matches(budget["spec"]["selector"]["matchLabels"], template(one)) for one in workloads) != 1:
            yield f"{label(budget)} is not for one workload"


def _ports(pod: Object) -> list[Object]:
    return [port for container in containers(pod) for port in container.get("ports", [])]


def _matches(selector: dict[str, str], pod: Object) -> bool:
    return bool(selector) and selector.items() <= pod["metadata"]["labels"].items()


def targets(pod: Object) -> Iterator[tuple[str, int]]:
    """Service and port of every address inside the cluster that a pod is given."""
    for container in containers(pod):
        for value in (*environment(container).values(), *container.get("args", [])):
            for host, port in _TARGET.findall(value):
                if host.endswith(f".{NAMESPACE}.svc"):
                    yield host.removesuffix(f".{NAMESPACE}.svc"), int(port)


def _targets(objects: list[Object]) -> Iterator[str]:
    services = {one["metadata"]["name"]: one for one in of_kind(objects, "Service")}
    for name, pod in pods(objects):
        for host, port in targets(pod):
            if host not in services:
                yield f"{name} is to call {host}, which is not there"
            elif port not in [one["port"] for one in services[host]["spec"]["ports"]]:
                yield f"{name} is to call {host}:{port}, which has no such port"
            elif services[host]["spec"].get("clusterIP") != "None":
                yield f"{name} calls {host} by a ClusterIP: all its calls go to one pod"


def _edges(objects: list[Object]) -> Iterator[str]:
    """NetworkPolicies allow the calls that the environment implies, and no others between components."""
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return
    services = {one["metadata"]["name"]: one["spec"]["selector"] for one in of_kind(objects, "Service")}
    found = {component(pod): pod for _, pod in pods(objects)}
    wanted = {
        (component(pod), services[host].get("app.kubernetes.io/component"), port)
        for _, pod in pods(objects)
        for host, port in targets(pod)
        if host in services
    }
    for caller, pod in found.items():
        if not any(_matches(one["spec"]["podSelector"]["matchLabels"], pod) for one in policies):
            yield f"{caller} is under no policy"
    ports = {name: [one["containerPort"] for one in _ports(pod)] for name, pod in found.items()}
    for caller in found:
        for called in found:
            for port in ports[called]:
                out = _allows(policies, found[caller], found[called], "egress", "to", port)
                into = _allows(policies, found[called], found[caller], "ingress", "from", port)
                if (caller, called, port) in wanted:
                    if not (out and into):
                        yield f"{caller} has to call {called}:{port}, and may not"
                elif (out and into) or "by name" in (out, into):
                    yield f"{caller} may call {called}:{port}, and has no reason to"


def _allows(policies: list[Object], pod: Object, other: Object, direction: str, peer: str, port: int) -> str:
    """How the policies of a pod let it and another talk: "by name", "as anyone", or "" if they do not."""
    mine = [one for one in policies if _matches(one["spec"]["podSelector"]["matchLabels"], pod)]
    rules = [rule for one in mine for rule in one["spec"].get(direction, []) if _port(rule, port)]
    if any(_named(one, other) for rule in rules for one in rule.get(peer, [])):
        return "by name"
    return "as anyone" if not mine or any(_anyone(rule, peer) for rule in rules) else ""


def _port(rule: Object, port: int) -> bool:
    return "ports" not in rule or port in [one["port"] for one in rule["ports"]]


def _named(peer: Object, pod: Object) -> bool:
    """Blocks of addresses mean no pod: their exceptions are the private ranges."""
    selector = peer.get("podSelector", {}).get("matchLabels", {})
    return "namespaceSelector" not in peer and _matches(selector, pod)


def _anyone(rule: Object, peer: str) -> bool:
    return peer not in rule or {"podSelector": {}} in rule[peer]


def _references(objects: list[Object]) -> Iterator[str]:
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    made = {name for kind, name in there if kind == "PersistentVolumeClaim"}
    for name, pod in pods(objects):
        spec = pod["spec"]
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
            if claim.startswith(("mesh-", "other-")) and claim not in made:
                yield f"{name} mounts claim {claim}, which is not there"
        for volume in spec.get("volumes", []):
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in there:
                yield f"{name} mounts a ConfigMap that is not there"
        if ("ServiceAccount", spec["serviceAccountName"]) not in there:
            yield f"{name} runs as {spec['serviceAccountName']}, which is not there"
        volumes = {one["name"] for one in spec.get("volumes", [])} | _claimed(objects, name)
        mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
        if mounted != volumes:
            yield f"{name} mounts {sorted(mounted)} and has {sorted(volumes)}"
        for container in spec["containers"]:
            ports = {one["name"] for one in container.get("ports", [])}
            numbers = {one["containerPort"] for one in container.get("ports", [])}
            for kind, port in _probe_ports(container):
                if port not in ports | numbers:
                    yield f"{name} {kind} asks port {port}, which the container has not"


def _claimed(objects: list[Object], name: str) -> set[str]:
    for one in of_kind(objects, "StatefulSet"):
        if label(one) == name:
            return {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
    return set()


def _probe_ports(container: Object) -> Iterator[tuple[str, Any]]:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        for how in ("grpc", "httpGet", "tcpSocket"):
            if how in container.get(kind, {}):
                yield kind, container[kind][how]["port"]


def _backends(objects: list[Object]) -> Iterator[str]:
    ports = {
        (one["metadata"]["name"], port[key])
        for one in of_kind(objects, "Service")
        for port in one["spec"]["ports"]
        for key in ("name", "port")
    }
    for route in of_kind(objects, "GRPCRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                if (backend["name"], backend["port"]) not in ports:
                    yield f"{label(route)} leads to {backend['name']}:{backend['port']}, which is not there"
    for ingress in of_kind(objects, "Ingress"):
        for path in ingress["spec"]["rules"][0]["http"]["paths"]:
            service = path["backend"]["service"]
            if (service["name"], service["port"]["name"]) not in ports:
                yield f"{label(ingress)} leads to {service['name']}, which is not there"
    for monitor in of_kind(objects, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        scraped = [one for one in of_kind(objects, "Service") if selector.items() <= one["metadata"]["labels"].items()]
        chosen = Counter(str(one["spec"]["selector"]) for one in scraped)
        if not scraped or any(number > 1 for number in chosen.values()):
            yield f"{label(monitor)} scrapes nothing, or pods twice"
        for one in scraped:
            if (one["metadata"]["name"], monitor["spec"]["endpoints"][0]["port"]) not in ports:
                yield f"{label(monitor)} scrapes {one['metadata']['name']}, which has no such port"


def _certificates(objects: list[Object]) -> Iterator[str]:
    """Each pod mounts its own certificate, and servers' certificates have the names that they are called by."""
    certificates = {one["spec"]["secretName"]: one for one in of_kind(objects, "Certificate")}
    if not certificates:
        return
    called = {host for _, pod in pods(objects) for host, _ in targets(pod)}
    named = {name for one in certificates.values() for name in one["spec"]["dnsNames"]}
    for host in called:
        if f"{host}.{NAMESPACE}.svc" not in named:
            yield f"no certificate is for {host}"
    for workload in of_kind(objects, *WORKLOADS):
        volumes = template(workload)["spec"].get("volumes", [])
        for secret in (one["secret"]["secretName"] for one in volumes if one["name"] == "tls"):
            if secret not in certificates:
                yield f"{label(workload)} mounts certificate {secret}, which nobody issues"


def _signals(objects: list[Object]) -> Iterator[str]:
    """What a query selects by `service` is what Prometheus will call it."""
    services = {one["metadata"]["name"] for one in of_kind(objects, "Service")}
    for where, query in expressions(objects):
        for operator, value in re.findall(r'service(=~?)"([^"]+)"', query):
            found = services if operator == "=" and value in services else None
            if operator == "=~":
                found = {one for one in services if re.fullmatch(value, one)}
            # An alert for a Redis in the release stays silent where it is elsewhere.
            if not found and "redis" not in value:
                yield f"{where} selects service {value}, which is not there"
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "External":
                name = metric["external"]["metric"]["selector"]["matchLabels"]["service"]
                if name not in services:
                    yield f"{label(scaler)} scales on service {name}, which is not there"
