"""What Jobs run: commands with options that exist, backups that can be restored from, engines, locks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from searchmesh.cli.main import app
from searchmesh.local import binaries
from support.chart import MODES, component, containers, environment, named, of_kind, rendered, template, tools
from support.chart_triton import replaced
from support.redis_server import RedisServer


def test_jobs_call_commands_with_options_that_exist() -> None:
    lines = [
        line.split()
        for mode in MODES
        for job in of_kind(rendered(mode), "Job")
        for line in "\n".join(template(job)["spec"]["containers"][0]["args"]).splitlines()
        if line.startswith("searchmesh ")
    ]
    assert lines
    for _, group, command, _, *options in lines:
        told = CliRunner().invoke(app, [group, command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        for option in (word.strip("'") for word in options if word.strip("'").startswith("--")):
            assert option in told, f"{group} {command} has no {option}"


def test_the_index_is_backed_up_and_old_copies_go(tmp_path: Path) -> None:
    job = named(rendered("airgap"), "CronJob", "index-backup")
    container = containers(template(job))[0]
    backups = tmp_path / "backups"
    backups.mkdir()
    for number in range(9):
        (backups / f"index-2020010{number}T000000Z.rdb").write_bytes(b"")
    # redis-server is also the checker of its files, by the name that it is called.
    (tmp_path / "redis-check-rdb").symlink_to(binaries.redis_server())
    with RedisServer(tmp_path) as server, server.client() as client:
        client.set("document", "kept")
        script = container["args"][0].replace("/backup", str(backups))
        variables = {
            "PATH": f"{tools()}:{tmp_path}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(tools()),
            "SEARCHMESH_INDEX_URL": server.url,
            "KEEP": environment(container)["KEEP"],
        }
        subprocess.run([*container["command"], script], env=variables, check=True, capture_output=True)
    kept = sorted(path.name for path in backups.iterdir())
    assert len(kept) == 7
    newest = backups / kept[-1]
    assert re.fullmatch(r"index-\d{8}T\d{6}Z\.rdb", newest.name)
    assert b"kept" in newest.read_bytes()


def test_a_backup_that_fails_leaves_the_old_copies(tmp_path: Path) -> None:
    container = containers(template(named(rendered("airgap"), "CronJob", "index-backup")))[0]
    old = tmp_path / "index-20200101T000000Z.rdb"
    old.write_bytes(b"old")
    script = container["args"][0].replace("/backup", str(tmp_path))
    variables = {"PATH": f"{tools()}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(tools()), "KEEP": "1"}
    variables["SEARCHMESH_INDEX_URL"] = "redis://127.0.0.1:1/0"
    done = subprocess.run([*container["command"], script], env=variables, check=False, capture_output=True)
    assert done.returncode != 0
    assert old.read_bytes() == b"old"
    assert [path.name for path in tmp_path.glob("index-*.rdb")] == [old.name]


def test_engines_stand_beside_each_other(tmp_path: Path) -> None:
    """With the exporter's layout and a builder that only writes: trtexec needs a GPU."""
    model = tmp_path / "models/jina-embeddings-v3"
    (model / "1").mkdir(parents=True)
    (model / "1/model.onnx").write_text("graph")
    (model / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    (model / "config.plan.pbtxt").write_text('backend: "tensorrt"\n')
    build = model / "build-plan.sh"
    build.write_text('#!/bin/sh\ncd "$(dirname "$0")"\necho engine > 1/model.plan\ncp config.plan.pbtxt config.pbtxt\n')
    build.chmod(0o755)
    container = next(
        containers(template(one))[0]
        for one in of_kind(rendered("hpa-engines"), "Job")
        if "engines-l4" in one["metadata"]["name"]
    )
    (tmp_path / "scratch").mkdir()
    script = replaced(
        container["args"][0], {"/models": str(tmp_path / "models"), "/scratch": str(tmp_path / "scratch")}
    )
    subprocess.run([*container["command"], script], check=True)
    assert (model / "1/l4.plan").read_text() == "engine\n"
    assert (model / "configs/l4.pbtxt").read_text() == 'default_model_filename: "l4.plan"\nbackend: "tensorrt"\n'
    assert (model / "config.pbtxt").read_text() == 'backend: "onnxruntime"\n', "other pools still serve the graph"
    serving = containers(template(named(rendered("hpa-engines"), "Deployment", "triton-l4")))[0]
    assert "--model-config-name=l4" in serving["args"]


def test_models_are_held_against_their_lock(tmp_path: Path) -> None:
    container = next(
        containers(template(one))[0]
        for one in of_kind(rendered("hpa-engines"), "Job")
        if component(template(one)) == "models"
    )
    lines = [line for line in container["args"][0].splitlines() if not line.startswith("searchmesh ")]
    places = {"/lock/models.sha256": str(tmp_path / ".lock/models.sha256"), "cd /models": f"cd {tmp_path}"}
    script = replaced("\n".join(lines), places)
    (tmp_path / ".lock").mkdir()
    (lock,) = (one for one in of_kind(rendered("hpa-engines"), "ConfigMap") if "models.sha256" in one["data"])
    (tmp_path / ".lock/models.sha256").write_text(lock["data"]["models.sha256"])
    card = tmp_path / "jina-embeddings-v3/card.json"
    card.parent.mkdir()
    card.write_bytes(b"")

    def verified() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*container["command"], script], capture_output=True, text=True, check=False)

    done = verified()
    assert done.returncode == 0, done.stderr
    assert "jina-embeddings-v3/card.json" in done.stdout
    card.write_bytes(b"changed")
    assert verified().returncode != 0
