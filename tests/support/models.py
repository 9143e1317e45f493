"""A tiny model repository, enough for services on the fake backend."""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from searchmesh.catalog import Card, Export, Parity, Task, load_card
from searchmesh.catalog.repository import CARD_FILE, TOKENIZER_FILE, CardFile

TEXT = "the quick brown fox jumps over the lazy dog and finds a search engine in the forest of many small words"
MODEL = "all-MiniLM-L6-v2"


def write_tokenizer(path: Path) -> None:
    """A BERT-style tokenizer with a few pieces; unknown words become single characters or [UNK]."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        [TEXT, "abcdefghijklmnopqrstuvwxyz"], trainers.WordPieceTrainer(special_tokens=specials)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


def tiny_card(dimensions: tuple[int, ...] = (2, 4, 8), max_tokens: int = 32) -> Card:
    """The card of a small Matryoshka encoder with two tasks."""
    card = load_card(MODEL)
    assert card.multi_vector is not None
    return card.model_copy(
        update={
            "dimensions": dimensions,
            "max_tokens": max_tokens,
            "multi_vector": card.multi_vector.model_copy(update={"dimensions": (dimensions[-1],)}),
            "tasks": {"query": Task(prefix="search "), "passage": Task()},
        }
    )


def write_repository(
    root: Path,
    card: Card | None = None,
    *,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    outputs: tuple[str, ...] = ("sentence_embedding", "token_embeddings"),
) -> Path:
    """A repository with one exported model as services see it (there is no graph in it)."""
    card = card or tiny_card()
    folder = root / card.name
    folder.mkdir(parents=True)
    write_tokenizer(folder / TOKENIZER_FILE)
    export = Export(
        model_digest="0" * 64,
        tokenizer_digest="1" * 64,
        precision="fp32",
        flavour="python",
        inputs=inputs,
        outputs=outputs,
        hidden_size=card.dimensions[-1] if card.dimensions else 8,
        parity=Parity(cosine_error=0, absolute_error=0, cosine_tolerance=0),
    )
    (folder / CARD_FILE).write_text(CardFile(card=card, export=export).model_dump_json())
    return root
