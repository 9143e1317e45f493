"""The chart renders in every mode with Helm 3 and Helm 4, and what it renders is what clusters accept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from support import chart, chart_gates
from support.chart import CHART, MODES, render, rendered, run
from support.chart_wiring import wiring


@pytest.mark.parametrize("mode", MODES)
def test_helm_3_and_helm_4_render_the_same_objects(mode: str) -> None:
    by_name = {chart_gates.label(one): one for one in render(mode, helm="helm3")}
    assert by_name == {chart_gates.label(one): one for one in rendered(mode)}


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@pytest.mark.parametrize("mode", MODES)
def test_helm_has_nothing_to_say_against_it(mode: str, helm: str) -> None:
    done = run(helm, "lint", "--strict", str(CHART), f"--values={CHART / 'ci' / f'{mode}.yaml'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("mode", MODES)
def test_kubernetes_of_three_versions_accepts_it(mode: str) -> None:
    assert chart_gates.schemas(rendered(mode)) == []


@pytest.mark.parametrize("mode", MODES)
def test_operators_accept_their_objects(mode: str) -> None:
    assert chart_gates.custom_resources(rendered(mode)) == []


@pytest.mark.parametrize("mode", MODES)
def test_every_pod_is_restricted(mode: str) -> None:
    assert chart_gates.restricted(rendered(mode)) == []


@pytest.mark.parametrize("mode", MODES)
def test_objects_fit_together(mode: str) -> None:
    assert wiring(rendered(mode)) == []


@pytest.mark.parametrize("mode", MODES)
def test_queries_parse(mode: str, tmp_path: Path) -> None:
    assert chart_gates.queries(rendered(mode), tmp_path) == []


@pytest.mark.parametrize("mode", MODES)
def test_rendering_twice_gives_the_same(mode: str) -> None:
    assert render(mode) == rendered(mode)


def test_every_kind_of_object_is_rendered_by_some_mode() -> None:
    """So that nothing in the templates escapes the tests above."""
    kinds = {one["kind"] for mode in MODES for one in rendered(mode)}
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    written = {line.split()[1] for line in templates.splitlines() if line.startswith("kind: ")}
    assert kinds == written


def test_two_releases_share_a_namespace() -> None:
    objects = [*rendered("keda-tls"), *render("keda-tls", release="other")]
    names = [chart_gates.label(one) for one in objects]
    assert len(names) == len(set(names))
    first = {str(one["spec"]["selector"]) for one in objects if one["kind"] == "Deployment"}
    assert len(first) == len(chart.of_kind(objects, "Deployment"))


@pytest.mark.parametrize(
    "change", ["commonLabels.team=other", "image.tag=v2", "drain.graceSeconds=60", "triton.image.tag=26.09-py3"]
)
def test_selectors_survive_an_upgrade(change: str) -> None:
    """They are immutable: an upgrade that changes one is refused by the cluster."""

    def selectors(objects: list[chart.Object]) -> dict[str, object]:
        workloads = chart.of_kind(objects, "Deployment", "StatefulSet")
        return {chart_gates.label(one): one["spec"]["selector"] for one in workloads}

    assert selectors(render("keda-tls", change)) == selectors(rendered("keda-tls"))


def test_the_chart_has_the_version_of_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (chart.ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{described["appVersion"]}"\n' in project
    assert "dependencies" not in described
