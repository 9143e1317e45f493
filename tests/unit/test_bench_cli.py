"""The commands of ``searchmesh bench``, without a mesh."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from searchmesh.cli.main import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


@pytest.mark.parametrize("arguments", [["waves"], ["figures", "waves"], ["waves", "--json"], ["--json", "waves"]])
def test_figures_are_what_is_measured_where_no_command_is_named(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "has waves; the figures are embedding, cache" in done.stderr


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    assert all(f" {command} " in shown for command in ("figures", "capacity", "simulate"))


def test_simulate_compares_every_combination() -> None:
    options = ["--load", "steady", "--per-second", "1000", "--minutes", "2", "--json"]
    options += ["--target-utilization", "0.5", "--target-utilization", "0.8", "--min-replicas", "1"]
    options += ["--start-s", "0", "--start-s", "60", "--start-s", "90"]
    done = run("simulate", "900", *options)
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    settings = [(row["pool"]["start_s"], row["scaling"]["target_utilization"]) for row in rows]
    assert settings == [(0, 0.5), (0, 0.8), (60, 0.5), (60, 0.8), (90, 0.5), (90, 0.8)]
    shed = [row["result"]["shed"] for row in rows]
    assert 0 == shed[0] <= shed[2] <= shed[4]
    assert rows[0]["result"]["pod_hours"] > rows[1]["result"]["pod_hours"]
    assert json.loads(run("simulate", "900", *options).stdout) == rows


def test_simulate_prints_a_table_and_its_conditions() -> None:
    done = run("simulate", "900", "--load", "steady", "--minutes", "1", "--min-replicas", "3")
    assert done.exit_code == 0
    heading, row, _, conditions = done.stdout.splitlines()
    assert heading.split() == [
        "load",
        "start",
        "s",
        "target",
        "min",
        "pod-hours",
        "mean",
        "pods",
        "peak",
        "slow",
        "%",
        "shed",
        "%",
    ]
    assert row.split() == ["steady", "90", "0.7", "3", "0.05", "3.0", "3", "0.00", "0.00"]
    assert conditions.startswith("1800 items/s in the mean, 900 a pod, at most 8 pods")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--load", "waves"], "the loads are steady, ramp"),
        (["--min-replicas", "9"], "above the 8 of max_replicas"),
        (["--min-replicas", "1", *["--start-s", "1"] * 201], "more than 200 combinations"),
    ],
)
def test_simulate_refuses_what_makes_no_sense(options: list[str], said: str) -> None:
    done = run("simulate", "900", *options)
    assert done.exit_code == 2
    assert said in done.stderr
