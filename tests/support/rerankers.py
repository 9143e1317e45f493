"""The reranking service on the fake backend, with tokenizers of the kinds that rerankers have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from searchmesh.catalog import Card, Export, MultiVector, Parity, load_card
from searchmesh.catalog.repository import CARD_FILE, TOKENIZER_FILE, CardFile
from searchmesh.encoding import Encoders, ImageReader
from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLoader
from searchmesh.reranker.scorers import Scorers, ranks
from searchmesh.reranker.servicer import RerankerServicer
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.rpc import Call
from searchmesh.triton.fake import FakeBackend
from searchmesh.v1 import common_pb2, reranker_pb2

PAIRS = "jina-reranker-v2-base-multilingual"
IMAGES = "jina-reranker-m0"
LIST = "jina-reranker-v3"
COLBERT = "jina-colbert-v2"

WORDS = [f"w{number}" for number in range(300)]
"""Each is one token of the tokenizer of `PAIRS`."""

_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|embed_token|>", "<|rerank_token|>",
)  # fmt: skip


def xlm_tokenizer() -> tokenizers.Tokenizer:
    """The special tokens of XLM-RoBERTa around whole words; others are <unk>."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *WORDS, *"!?.,", "<mask>", "[QueryMarker]", "[DocumentMarker]"]
    tokenizer = tokenizers.Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in (*words[:4], *words[-3:])])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def qwen_tokenizer() -> tokenizers.Tokenizer:
    """A small byte-level BPE that splits as Qwen's does; a full stop and a line end are one token."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([" the query.\n the document.\n passages are ranked.\n" * 9], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in QWEN_SPECIALS])
    return tokenizer


_MODELS = {
    PAIRS: (xlm_tokenizer, ("input_ids", "attention_mask"), ("logit",)),
    IMAGES: (
        qwen_tokenizer,
        ("input_ids", "attention_mask", "position_ids", "image_features", "image_index"),
        ("logit",),
    ),
    LIST: (qwen_tokenizer, ("input_ids", "attention_mask", "picks"), ("picked_embeddings",)),
    COLBERT: (xlm_tokenizer, ("input_ids", "attention_mask"), ("token_embeddings",)),
}


def write_model(root: Path, card: Card) -> tokenizers.Tokenizer:
    """Put a model beside others as services see it; there is no graph in it."""
    tokenizer, inputs, outputs = _MODELS[card.name]
    folder = root / card.name
    folder.mkdir(parents=True)
    made = tokenizer()
    made.save(str(folder / TOKENIZER_FILE))
    export = Export(
        model_digest="0" * 64,
        tokenizer_digest="1" * 64,
        precision="fp32",
        flavour="python",
        inputs=inputs,
        outputs=outputs,
        hidden_size=8,
        parity=Parity(cosine_error=0, absolute_error=0, cosine_tolerance=0),
    )
    (folder / CARD_FILE).write_text(CardFile(card=card, export=export).model_dump_json())
    return made


def _resolved(multi: MultiVector) -> MultiVector:
    """With the sizes of the fake model and the ids of the tokenizer, as the exporter writes it."""
    tokenizer = xlm_tokenizer()
    update: dict[str, object] = {"dimensions": (4, 8)}
    for side, rules in (("query", multi.query), ("document", multi.document)):
        assert rules.marker is not None
        marker = rules.marker.model_copy(update={"id": tokenizer.token_to_id(rules.marker.token)})
        pad = tokenizer.token_to_id(rules.pad_token) if rules.pad_token else None
        update[side] = rules.model_copy(update={"marker": marker, "pad_id": pad})
    return multi.model_copy(update=update)


class Service:
    """One model behind the servicer."""

    def __init__(self, root: Path, name: str, *, max_tokens: int, **settings: object) -> None:
        card = load_card(name).model_copy(update={"max_tokens": max_tokens})
        if card.multi_vector is not None:
            card = card.model_copy(update={"multi_vector": _resolved(card.multi_vector)})
        self.card = card
        self.tokenizer = write_model(root, card)
        self.backend = FakeBackend()
        self.settings = RerankerSettings(model_repository=root, default_model=name, **settings)
        loader = ImageLoader(Fetcher(self.settings), self.settings.image_limits)
        images = ImageReader(loader, at_once=self.settings.images_at_once, max_held=self.settings.max_held_images)
        encoders = Encoders(self.settings, self.backend, ranks)
        self.servicer = RerankerServicer(Scorers(encoders, images, self.settings), self.settings)

    async def rerank(
        self, query: str | bytes, documents: Sequence[str | bytes], **fields: object
    ) -> reranker_pb2.RerankResponse:
        request = reranker_pb2.RerankRequest(
            query=_content(query), documents=[_content(document) for document in documents], **fields
        )
        return await self.servicer.Rerank(request, Call(Deadline()))

    async def scores(self, query: str | bytes, documents: Sequence[str | bytes], **fields: object) -> list[float]:
        """In the order of the documents."""
        response = await self.rerank(query, documents, **fields)
        return [result.relevance_score for result in sorted(response.results, key=lambda result: result.index)]

    def sequences(self, model: str | None = None) -> list[list[int]]:
        """Token ids of every row that the model was sent, without padding."""
        return [
            ids[mask == 1].tolist()
            for name, inputs in self.backend.calls
            if name == (model or self.card.name)
            for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
            if mask.sum() > 1 or len(mask) == 1
        ]


def _content(content: str | bytes) -> common_pb2.Content:
    if isinstance(content, bytes):
        return common_pb2.Content(image=common_pb2.Image(data=content))
    return common_pb2.Content(text=content)


def vectors_of(response: reranker_pb2.RerankResponse) -> np.ndarray:
    """The document vectors of a response, [n, dimensions]."""
    packed = response.document_vectors
    return np.frombuffer(packed.data, np.float32).reshape(-1, packed.dimensions)
