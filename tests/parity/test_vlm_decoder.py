"""The decoder of jina-vlm, with images in its prompts, writes what the Qwen3 of transformers writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from searchmesh.catalog import ExportedModel, load_card
from searchmesh_export.exporter import export_model
from searchmesh_export.templates.decoder.graph import Graph
from searchmesh_export.templates.decoder.loop import Limits, Loop
from searchmesh_export.templates.decoder.options import Options, Problem
from searchmesh_export.templates.decoder.pictures import Pictures
from searchmesh_export.templates.decoder.stream import End, Stream
from support import vlm_reference as reference
from support.checkpoints_vlm import END, WIDTH, Published, write_vlm

MODEL = "jina-vlm"
MOST = 24
LIMITS = Limits(
    slots=4,
    session_tokens=400,
    cache_tokens=1200,
    max_waiting=8,
    prefill_tokens=32,
    ngram=3,
    draft_tokens=4,
    draft_streams=1,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_vlm(tmp_path_factory.mktemp("vlm") / "checkpoint")


@pytest.fixture(scope="module")
def model(published: Published, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    target = tmp_path_factory.mktemp("repository")
    return export_model(load_card(MODEL), published.folder, target, precision="fp32", flavour="python")


@pytest.fixture
def loop(model: ExportedModel) -> Iterator[Loop]:
    graph = Graph(model.path / "1" / "model.onnx", slots=LIMITS.slots, room=LIMITS.session_tokens)
    running = Loop(graph, LIMITS)
    yield running
    running.close()


@dataclass
class Reply:
    tokens: list[int] = field(default_factory=list)
    end: End | None = None
    problem: Problem | None = None
    done: threading.Event = field(default_factory=threading.Event)
    leave_after: int = 1 << 30

    def send(self, tokens: Sequence[int], end: End | None) -> None:
        self.tokens += tokens
        self.end = end
        if end is not None:
            self.done.set()

    def fail(self, problem: Problem) -> None:
        self.problem = problem
        self.done.set()

    def cancelled(self) -> bool:
        return len(self.tokens) >= self.leave_after


@dataclass(frozen=True)
class Prompt:
    ids: list[int]
    features: torch.Tensor

    def pictures(self, patch: int) -> Pictures:
        places = np.array(self.ids) == patch
        index = np.where(places, np.cumsum(places) - 1, -1)
        return Pictures.checked(self.features.numpy(), index, len(self.ids), WIDTH)


def prompt(published: Published, seed: int, text: int, patches: Sequence[int]) -> Prompt:
    """Random tokens with runs of patches among them."""
    numbers = np.random.default_rng(seed)
    ids: list[int] = []
    for run in (*patches, 0):
        ids += numbers.integers(0, 290, text).tolist() + [published.id("<im_patch>")] * run
    features = torch.from_numpy(numbers.normal(size=(sum(patches), WIDTH)).astype(np.float32))
    return Prompt(ids, features)


def start(loop: Loop, published: Published, own: Prompt, reply: Reply, **options: object) -> None:
    pictures = own.pictures(published.id("<im_patch>"))
    chosen = Options(max_new_tokens=MOST, **options)  # type: ignore[arg-type]
    loop.submit(Stream(own.ids, chosen, None, reply, {published.id(END)}, pictures))


def expected(published: Published, own: Prompt) -> list[int]:
    tokens = reference.answer(published, own.ids, own.features, MOST)
    return tokens[:-1] if tokens[-1] == published.id(END) else tokens


PROMPTS = ((1, 7, (12,)), (2, 40, ()), (3, 5, (30, 50)), (4, 3, (90,)))


@pytest.mark.parametrize("draft", [True, False])
def test_prompts_of_many_kinds_at_once(loop: Loop, published: Published, draft: bool) -> None:
    prompts = [prompt(published, *each) for each in PROMPTS]
    replies = [Reply() for _ in prompts]
    for own, reply in zip(prompts, replies, strict=True):
        start(loop, published, own, reply, draft=draft)
    for own, reply in zip(prompts, replies, strict=True):
        assert reply.done.wait(60)
        assert reply.problem is None
        assert reply.tokens == expected(published, own)


def test_images_make_a_difference(loop: Loop, published: Published) -> None:
    own = prompt(published, *PROMPTS[3])
    other = Prompt(own.ids, own.features.flip(0))
    replies = Reply(), Reply()
    for each, reply in zip((own, other), replies, strict=True):
        start(loop, published, each, reply)
        assert reply.done.wait(60)
        assert reply.tokens == expected(published, each)
    assert replies[0].tokens != replies[1].tokens


def test_who_leaves_in_the_middle_disturbs_nobody(loop: Loop, published: Published) -> None:
    leaves, stays = (prompt(published, *each) for each in PROMPTS[2:])
    gone, reply = Reply(leave_after=3), Reply()
    start(loop, published, leaves, gone)
    start(loop, published, stays, reply)
    assert reply.done.wait(60)
    assert gone.done.wait(60)
    assert reply.tokens == expected(published, stays)
    assert gone.end is None
    assert gone.tokens == expected(published, leaves)[: len(gone.tokens)]


def test_tokens_that_are_only_read_may_be_penalised(loop: Loop, published: Published) -> None:
    own, reply = prompt(published, *PROMPTS[0]), Reply()
    start(loop, published, own, reply, repetition_penalty=1.3)
    assert reply.done.wait(60)
    assert reply.problem is None


@pytest.mark.parametrize(
    ("features", "index"), [((3, WIDTH + 1), (5,)), ((3, WIDTH), (4,)), ((0, WIDTH), (5,)), ((3,), (5,))]
)
def test_features_that_do_not_fit_are_refused(features: tuple[int, ...], index: tuple[int, ...]) -> None:
    with pytest.raises(Problem, match="image_"):
        Pictures.checked(np.zeros(features, np.float32), np.zeros(index, np.int64), 5, WIDTH)


def test_the_card_knows_the_checkpoint_s_template_tokens_and_crops(model: ExportedModel, published: Published) -> None:
    card = model.card
    assert card.generation is not None
    assert card.image is not None
    assert card.image.crops is not None
    assert card.generation.jinja_template == (Path(published.folder) / "chat_template.jinja").read_text()
    assert card.generation.always_start_with_space
    assert card.generation.bos_id == published.id(END)
    assert (card.image.resample, card.image.max_pixels, card.image.crops.size) == ("bilinear", 160_000, 154)
    assert (card.image.crops.max_crops, card.image.crops.resize_in_float) == (6, False)


def test_weights_of_four_bits_answer_within_their_tolerance(
    published: Published, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("four-bits")
    model = export_model(load_card(MODEL), published.folder, target, precision="int4", flavour="python")
    assert 1e-3 < model.export.parity.cosine_error <= model.export.parity.cosine_tolerance
    graph = Graph(model.path / "1" / "model.onnx", slots=1, room=LIMITS.session_tokens)
    loop, reply = Loop(graph, LIMITS), Reply()
    start(loop, published, prompt(published, *PROMPTS[0]), reply)
    assert reply.done.wait(60)
    loop.close()
    assert reply.problem is None
    assert all(token < len(published.head) for token in reply.tokens)
