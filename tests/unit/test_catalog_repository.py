"""Reading exported models: what is there, what is not, and what the reader is told to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from searchmesh.catalog import Export, ModelRepository, Parity, load_card
from searchmesh.catalog.repository import CARD_FILE, CardFile
from searchmesh.runtime.errors import FailedPrecondition, NotFound


def put(repository: Path, folder: str, card_name: str = "all-MiniLM-L6-v2") -> Export:
    export = Export(
        model_digest="ab" * 32,
        tokenizer_digest="cd" * 32,
        precision="int8",
        flavour="python",
        outputs=("sentence_embedding", "token_embeddings"),
        hidden_size=32,
        parity=Parity(cosine_error=1e-7, absolute_error=1e-6, cosine_tolerance=1e-5),
        versions={"torch": "2.13.0"},
    )
    card = load_card(card_name).resolved(hidden_size=32, max_tokens=64)
    (repository / folder).mkdir(parents=True)
    (repository / folder / CARD_FILE).write_text(CardFile(card=card, export=export).model_dump_json())
    return export


def test_an_exported_model_is_read_back(tmp_path: Path) -> None:
    export = put(tmp_path, "all-MiniLM-L6-v2")
    model = ModelRepository(tmp_path).load("all-MiniLM-L6-v2")
    assert (model.card.dimensions, model.max_tokens, model.hidden_size) == ((32,), 64, 32)
    assert (model.model_digest, model.tokenizer_digest) == (export.model_digest, export.tokenizer_digest)
    assert (model.precision, model.flavour, model.outputs) == (export.precision, export.flavour, export.outputs)
    assert model.tokenizer_path == tmp_path / "all-MiniLM-L6-v2" / "tokenizer.json"


def test_only_finished_exports_are_listed(tmp_path: Path) -> None:
    put(tmp_path, "all-MiniLM-L6-v2")
    put(tmp_path, ".jina-vlm.partial", "jina-vlm")
    (tmp_path / "half").mkdir()
    repository = ModelRepository(tmp_path)
    assert repository.names() == ["all-MiniLM-L6-v2"]
    assert [model.name for model in repository.all()] == ["all-MiniLM-L6-v2"]


def test_a_missing_folder_is_an_empty_repository(tmp_path: Path) -> None:
    assert ModelRepository(tmp_path / "none").all() == []


def test_a_model_that_is_not_exported_says_what_to_run(tmp_path: Path) -> None:
    command = f"searchmesh models export jina-vlm --repository {tmp_path}"
    with pytest.raises(FailedPrecondition, match=f"model jina-vlm is not exported in {tmp_path}; run: {command}"):
        ModelRepository(tmp_path).load("jina-vlm")


@pytest.mark.parametrize("name", ["jina-vml", "../all-MiniLM-L6-v2", "", "*"])
def test_an_unknown_model_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="no model is named"):
        ModelRepository(tmp_path).load(name)


def test_a_broken_card_says_what_to_run(tmp_path: Path) -> None:
    put(tmp_path, "all-MiniLM-L6-v2")
    (tmp_path / "all-MiniLM-L6-v2" / CARD_FILE).write_text("{}")
    with pytest.raises(FailedPrecondition, match="cannot be read; run: searchmesh models export all-MiniLM-L6-v2"):
        ModelRepository(tmp_path).load("all-MiniLM-L6-v2")
