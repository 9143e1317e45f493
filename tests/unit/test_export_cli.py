"""``searchmesh models export`` as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from searchmesh.catalog import ModelRepository
from searchmesh.runtime.errors import InvalidArgument, NotFound
from searchmesh_export.cli import export
from support.checkpoints import write_bert

NAME = "all-MiniLM-L6-v2"

app = typer.Typer()
app.command()(export)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "checkpoint")


def test_it_prints_where_the_model_is_how_exact_it_is_and_its_licence(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "repository"
    result = CliRunner().invoke(app, [NAME, "--from", str(folder), "--repository", str(target)])
    assert result.exit_code == 0, result.output
    model = ModelRepository(target).load(NAME)
    assert (model.precision, model.flavour) == ("int8", "python")
    error = f"{model.export.parity.cosine_error:.1e}"
    assert result.stdout.splitlines() == [
        f"exported {NAME} (int8, python) to {target / NAME}",
        f"largest cosine error against the source model {error}, tolerance 3e-02",
        "licence of the weights: Apache-2.0",
    ]
    assert "comparing it with the source model" in result.stderr


def test_json_holds_what_was_measured(folder: Path, tmp_path: Path) -> None:
    options = ["--from", str(folder), "--repository", str(tmp_path / "r"), "--flavour", "tensorrt", "--json"]
    result = CliRunner().invoke(app, [NAME, *options])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["precision"], printed["flavour"], printed["licence"]) == ("fp16", "tensorrt", "Apache-2.0")
    assert printed["parity"]["cosine_error"] <= printed["parity"]["cosine_tolerance"]
    assert printed["model_digest"] == ModelRepository(tmp_path / "r").load(NAME).model_digest


def test_the_repository_of_the_mesh_is_the_default(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, [NAME, "--from", str(folder), "--precision", "fp32"])
    assert result.exit_code == 0, result.output
    assert ModelRepository(tmp_path / "home" / "repository").names() == [NAME]


def test_a_misspelt_name_and_a_folder_that_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["all-minilm"])
    assert isinstance(result.exception, NotFound)
    result = CliRunner().invoke(app, [NAME, "--from", str(tmp_path / "none"), "--repository", str(tmp_path)])
    assert isinstance(result.exception, InvalidArgument)
    assert "is not a folder" in result.exception.problem
