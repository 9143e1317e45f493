"""The shipped cards: complete, coherent, and exact where a service depends on the very characters."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from searchmesh.catalog import Card, load_card, load_catalog
from searchmesh.runtime.errors import NotFound

NAMES = {
    "all-MiniLM-L6-v2",
    "jina-embeddings-v4",
    "jina-embeddings-v3",
    "jina-code-embeddings-0.5b",
    "jina-code-embeddings-1.5b",
    "jina-colbert-v2",
    "jina-clip-v2",
    "jina-reranker-m0",
    "jina-reranker-v3",
    "jina-reranker-v2-base-multilingual",
    "ReaderLM-v2",
    "jina-vlm",
}


def test_the_catalog_holds_every_model() -> None:
    assert set(load_catalog()) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_card_survives_json(name: str) -> None:
    card = load_card(name)
    assert Card.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize(
    ("name", "kind", "licence", "params", "max_tokens", "dimensions"),
    [
        ("all-MiniLM-L6-v2", "embedding", "Apache-2.0", 22713216, 256, (384,)),
        ("jina-embeddings-v4", "embedding", "Qwen Research License", 3934695552, 32768, (128, 256, 512, 1024, 2048)),
        ("jina-embeddings-v3", "embedding", "CC-BY-NC-4.0", 572310396, 8192, (32, 64, 128, 256, 512, 768, 1024)),
        ("jina-code-embeddings-0.5b", "embedding", "CC-BY-NC-4.0", 494032768, 32768, (64, 128, 256, 512, 896)),
        ("jina-code-embeddings-1.5b", "embedding", "CC-BY-NC-4.0", 1543714304, 32768, (128, 256, 512, 1024, 1536)),
        ("jina-colbert-v2", "multi_vector", "CC-BY-NC-4.0", 559366144 + 131072, 8192, ()),
        ("jina-clip-v2", "embedding", "CC-BY-NC-4.0", 865278477, 8192, (64, 128, 256, 512, 768, 1024)),
        ("jina-reranker-m0", "reranker", "CC-BY-NC-4.0", 2208985600 + 2362369, 10240, ()),
        ("jina-reranker-v3", "reranker_listwise", "CC-BY-NC-4.0", 596836352, 131072, ()),
        ("jina-reranker-v2-base-multilingual", "reranker", "CC-BY-NC-4.0", 278437633, 1024, ()),
        ("ReaderLM-v2", "generation", "CC-BY-NC-4.0", 1543714304, 524288, ()),
        ("jina-vlm", "generation", "CC-BY-NC-4.0", 2481026928, 32768, ()),
    ],
)
def test_sizes_limits_and_licences(
    name: str, kind: str, licence: str, params: int, max_tokens: int, dimensions: tuple[int, ...]
) -> None:
    card = load_card(name)
    found = (card.kind, card.licence, card.params, card.max_tokens, card.dimensions)
    assert found == (kind, licence, params, max_tokens, dimensions)


@pytest.mark.parametrize(
    ("name", "task", "adapter", "prefix"),
    [
        ("jina-embeddings-v4", "retrieval.query", 0, "Query: "),
        ("jina-embeddings-v4", "retrieval.passage", 0, "Passage: "),
        ("jina-embeddings-v4", "text-matching", 1, "Query: "),
        ("jina-embeddings-v4", "code.query", 2, "Query: "),
        ("jina-embeddings-v4", "code.passage", 2, "Passage: "),
        ("jina-embeddings-v3", "retrieval.query", 0, "Represent the query for retrieving evidence documents: "),
        ("jina-embeddings-v3", "retrieval.passage", 1, "Represent the document for retrieval: "),
        ("jina-embeddings-v3", "separation", 2, ""),
        ("jina-embeddings-v3", "classification", 3, ""),
        ("jina-embeddings-v3", "text-matching", 4, ""),
        ("jina-clip-v2", "retrieval.query", 0, "Represent the query for retrieving evidence documents: "),
    ],
)
def test_tasks_choose_adapter_and_prefix(name: str, task: str, adapter: int, prefix: str) -> None:
    found = load_card(name).tasks[task]
    assert (found.adapter, found.prefix) == (adapter, prefix)


@pytest.mark.parametrize("name", ["jina-code-embeddings-0.5b", "jina-code-embeddings-1.5b"])
def test_code_models_choose_by_prefix_alone(name: str) -> None:
    card = load_card(name)
    assert {task: facts.prefix for task, facts in card.tasks.items()} == {
        "nl2code.query": "Find the most relevant code snippet given the following query:\n",
        "nl2code.passage": "Candidate code snippet:\n",
        "qa.query": "Find the most relevant answer given the following question:\n",
        "qa.passage": "Candidate answer:\n",
        "code2code.query": "Find an equivalent code snippet given the following code snippet:\n",
        "code2code.passage": "Candidate code snippet:\n",
        "code2nl.query": "Find the most relevant comment given the following code snippet:\n",
        "code2nl.passage": "Candidate comment:\n",
        "code2completion.query": "Find the most relevant completion given the following start of code snippet:\n",
        "code2completion.passage": "Candidate completion:\n",
    }
    assert (card.default_task, card.pooling, card.adapters) == ("nl2code.query", "last", None)


@pytest.mark.parametrize(
    ("name", "default", "query", "passage"),
    [
        ("all-MiniLM-L6-v2", None, None, None),
        ("jina-embeddings-v4", "text-matching", "retrieval.query", "retrieval.passage"),
        ("jina-embeddings-v3", None, "retrieval.query", "retrieval.passage"),
        ("jina-code-embeddings-0.5b", "nl2code.query", "nl2code.query", "nl2code.passage"),
        ("jina-clip-v2", None, "retrieval.query", None),
    ],
)
def test_tasks_of_a_request_that_names_none(
    name: str, default: str | None, query: str | None, passage: str | None
) -> None:
    card = load_card(name)
    assert (card.default_task, card.query_task, card.passage_task) == (default, query, passage)


def test_late_interaction_of_minilm_is_blended_and_that_of_trained_models_is_not() -> None:
    blended = {name: card.score.blend for name, card in load_catalog().items() if card.score}
    assert [name for name, blend in blended.items() if blend] == ["all-MiniLM-L6-v2"]
    tokens = load_card("all-MiniLM-L6-v2").multi_vector
    assert tokens is not None
    assert (tokens.skip_special, tokens.normalize, tokens.normalized_in_graph) == (True, True, False)


def test_colbert_marks_pads_and_skips_as_trained() -> None:
    tokens = load_card("jina-colbert-v2").multi_vector
    assert tokens is not None
    query, document = tokens.query, tokens.document
    assert query.marker is not None
    assert document.marker is not None
    assert (query.marker.token, query.marker.id, query.marker.position) == ("[QueryMarker]", 250002, 1)
    assert (document.marker.token, document.marker.id, document.marker.position) == ("[DocumentMarker]", 250003, 1)
    assert (query.length, query.pad_token, query.pad_id) == (32, "<mask>", 250001)
    assert (query.skip, document.skip) == ("nothing", "punctuation")
    assert tokens.dimensions == (64, 96, 128)


def test_pairwise_rerankers_render_and_score_as_trained() -> None:
    m0, v2 = load_card("jina-reranker-m0"), load_card("jina-reranker-v2-base-multilingual")
    assert m0.pair is not None
    assert m0.score is not None
    assert m0.pair.template.format(query="q", document="d") == "**Document**:\nd\n**Query**:\nq"
    assert m0.pair.image_placeholder == "<|vision_start|><|image_pad|><|vision_end|>"
    assert m0.pair.score_token is not None
    assert (m0.pair.score_token.id, m0.score.transform, m0.score.shift) == (100, "sigmoid", -2.65)
    assert v2.pair is not None
    assert v2.score is not None
    assert v2.pair.template == "<s> {query} </s></s> {document} </s>"
    assert v2.pair.chunking is not None
    assert (v2.pair.chunking.overlap_max, v2.score.transform, v2.score.shift) == (80, "sigmoid", 0.0)


def test_the_listwise_prompt_is_exact() -> None:
    listing = load_card("jina-reranker-v3").listing
    assert listing is not None
    passages = [listing.passage.format(i=i, document=f"doc{i}") for i in range(2)]
    prompt = (
        listing.prefix.format(system="S")
        + listing.head.format(n=2, query="Q")
        + listing.passage_join.join(passages)
        + listing.query_block.format(query="Q")
        + listing.suffix
    )
    assert prompt == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n"
        "I will provide you with 2 passages, each indicated by a numerical identifier. "
        "Rank the passages based on their relevance to query: Q\n"
        '<passage id="0">\ndoc0<|embed_token|>\n</passage>\n<passage id="1">\ndoc1<|embed_token|>\n</passage>\n'
        "<query>\nQ<|rerank_token|>\n</query><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert (listing.document_token.id, listing.query_token.id) == (151670, 151671)
    assert listing.system.startswith("You are a search relevance expert who can determine a ranking")


def test_reader_prompts_and_cleaning_are_exact() -> None:
    generation = load_card("ReaderLM-v2").generation
    assert generation is not None
    html = generation.html
    assert html is not None
    prompt = html.json_prompt.format(instruction="I", html="<p>", schema="{}")
    assert prompt == "I\n```html\n<p>\n```\nThe JSON schema is as follows:```json\n{}\n```"
    assert [rule.pattern for rule in html.clean] == [
        r"<[ ]*script.*?\/[ ]*script[ ]*>",
        r"<[ ]*style.*?\/[ ]*style[ ]*>",
        r"<[ ]*meta.*?>",
        r"<[ ]*!--.*?--[ ]*>",
        r"<[ ]*link.*?>",
    ]
    assert html.clean_optional[0].replace == r"\1this is a placeholder\3"
    assert html.clean_optional[1].pattern == r'<img[^>]+src="data:image/[^;]+;base64,[^"]+"[^>]*>'


def test_image_rules() -> None:
    v4, clip, vlm = (load_card(f"jina-{name}").image for name in ("embeddings-v4", "clip-v2", "vlm"))
    assert v4 is not None
    assert clip is not None
    assert vlm is not None
    assert v4.prompt == ("<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe the image.<|im_end|>\n")
    assert v4.mean == clip.mean == (0.48145466, 0.4578275, 0.40821073)
    assert v4.std == clip.std == (0.26862954, 0.26130258, 0.27577711)
    assert (v4.min_pixels, v4.max_pixels, v4.max_tokens) == (3136, 602112, 768)
    assert (clip.size, clip.resize, clip.crop) == (512, "shortest side", "centre")
    assert vlm.crops is not None
    assert (vlm.crops.max_crops, vlm.crops.size, vlm.crops.margins_patches, vlm.resample) == (12, 378, (4, 4), None)


def test_unconfirmed_facts_are_left_to_the_checkpoint() -> None:
    unconfirmed = {name: card.from_checkpoint for name, card in load_catalog().items()}
    assert "lora_alpha" in unconfirmed["jina-embeddings-v3"]
    assert "rope base" in unconfirmed["jina-colbert-v2"]
    assert "whether the tokenizer appends EOS" in unconfirmed["jina-code-embeddings-1.5b"]
    assert load_card("jina-reranker-v3").unsettled == ("documents per forward actually served (64 or 125)",)


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(NotFound, match="did you mean jina-embeddings-v3, jina-embeddings-v4"):
        load_card("jina-embedings-v3")
    with pytest.raises(NotFound, match="did you mean all-MiniLM-L6-v2"):
        load_card("all-minilm-l6-v2")
    with pytest.raises(NotFound, match="there are ReaderLM-v2"):
        load_card("zzz")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"default_task": "nothing"}, "default_task 'nothing' is not among the tasks"),
        ({"dimensions": (384, 128)}, "dimensions must ascend"),
        ({"dimensions": ()}, "an embedding model, and no other, has dimensions"),
        ({"tasks": {"query": {"adapter": 0}}}, "task 'query' wants adapter 0 of 0"),
        ({"kind": "generation"}, "needs the section generation"),
        ({"multi_vector": None}, "score late_interaction has nothing to read"),
        ({"modalities": ("text", "image")}, "the section image goes with the modality"),
        ({"colour": "blue"}, "Extra inputs are not permitted"),
    ],
)
def test_an_incoherent_card_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Card.model_validate(load_card("all-MiniLM-L6-v2").model_dump() | change)


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_card("all-MiniLM-L6-v2").max_tokens = 1


def test_a_resolved_card_has_the_sizes_of_its_checkpoint() -> None:
    tiny = load_card("jina-embeddings-v3").resolved(hidden_size=48, max_tokens=64)
    assert (tiny.dimensions, tiny.max_tokens) == ((32, 48), 64)
    whole = load_card("all-MiniLM-L6-v2").resolved(hidden_size=384, max_tokens=512)
    assert whole == load_card("all-MiniLM-L6-v2")
    narrow = load_card("all-MiniLM-L6-v2").resolved(hidden_size=32, max_tokens=None)
    assert narrow.multi_vector is not None
    assert narrow.multi_vector.dimensions == narrow.dimensions == (32,)
