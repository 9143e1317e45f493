"""The simulator's settings and formulas are those that the chart renders."""

from __future__ import annotations

from typing import Any

import yaml

from searchmesh_bench.simulate import Scaling
from searchmesh_bench.simulate.scaler import BACKLOG_WINDOW_S, OFFERED_WINDOW_S, SYNC_S
from support.chart import CHART, named, rendered


def scaled_object() -> Any:
    return named(rendered("keda-tls"), "ScaledObject", "triton-encoders")["spec"]


def test_the_defaults_are_those_of_the_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["triton"]["poolDefaults"]["autoscaling"]
    scaling = Scaling(items_per_second_per_pod=1)
    assert (
        values["minReplicas"],
        values["maxReplicas"],
        values["targetUtilization"],
        values["queuedTokensPerPod"],
    ) == (scaling.min_replicas, scaling.max_replicas, scaling.target_utilization, scaling.queued_tokens_per_pod)


def test_the_behaviour_is_the_one_that_is_rendered() -> None:
    spec, scaling = scaled_object(), Scaling(items_per_second_per_pod=1)
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleUp"] == {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": scaling.up_percent, "periodSeconds": scaling.up_period_s},
            {"type": "Pods", "value": scaling.up_pods, "periodSeconds": scaling.up_period_s},
        ],
    }
    assert behaviour["scaleDown"] == {
        "stabilizationWindowSeconds": scaling.down_window_s,
        "policies": [{"type": "Pods", "value": scaling.down_pods, "periodSeconds": scaling.down_period_s}],
    }
    assert spec["pollingInterval"] == SYNC_S


def test_the_signals_are_the_ones_that_are_rendered() -> None:
    demand, backlog = (trigger["metadata"] for trigger in scaled_object()["triggers"])
    assert f'pool="jina-embeddings-v3"}}[{OFFERED_WINDOW_S / 60:g}m])) or' in demand["query"]
    assert ") / 900 + (" in demand["query"]
    assert demand["threshold"] == f"{Scaling(1).target_utilization:g}"
    assert backlog["query"].startswith("clamp_max(ceil((sum(avg_over_time(")
    queued = Scaling(1).queued_tokens_per_pod
    assert f"[{BACKLOG_WINDOW_S:g}s])) or " in backlog["query"].split("inference_pool_queued_tokens{")[1]
    assert f" / {queued}), scalar(count(up{{" in backlog["query"]
    assert backlog["query"].endswith(") + 1)")
    assert backlog["threshold"] == "1"
