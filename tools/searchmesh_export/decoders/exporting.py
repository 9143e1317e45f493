"""The stages of a decoder's export, in order."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from searchmesh.catalog import Card, Export, ExportedModel, Flavour, ModelRepository, Precision
from searchmesh.runtime.errors import InvalidArgument, Unimplemented
from searchmesh_export import repository, saving
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.decoders import building, comparing
from searchmesh_export.decoders.reference import language_model, reference
from searchmesh_export.decoders.serving import INPUTS, OUTPUTS, Serving
from searchmesh_export.qwen import longest
from searchmesh_export.qwen_config import text_config

PROGRAMS = ("torch", "transformers", "onnxruntime", "onnxruntime-genai")

DECODER_STAGES = 4
"""How often `on_stage` is called."""

_FAMILIES = ("qwen2", "qwen3")


def export_decoder(
    card: Card, folder: Path, target: Path, *, precision: Precision, flavour: Flavour, on_stage: Callable[[str], None]
) -> ExportedModel:
    """As `searchmesh_export.exporter.export_model`, for a model of the kind generation."""
    check_decoder(card)
    check_combination(precision, flavour)
    on_stage("reading the checkpoint")
    checkpoint = Checkpoint(folder)
    config = text_config(checkpoint)
    tokenizer = checkpoint.tokenizer()
    if (highest := max(tokenizer.get_vocab(with_added_tokens=True).values())) >= config.vocab_size:
        problem = f"gives the token {highest}; the model has {config.vocab_size}"
        raise checkpoint.wrong("tokenizer.json", problem)
    max_tokens = min(card.max_tokens, longest(checkpoint, config, card))
    device = "cpu" if flavour == "python" else "cuda"
    serving = Serving(
        name=card.name,
        config=config,
        device=device,
        number_bytes=4 if device == "cpu" else 2,
        end_ids=end_ids(checkpoint),
        max_tokens=max_tokens,
    )

    on_stage("running the source model")
    expected = reference(language_model(checkpoint, card, config), tokenizer, max_tokens)

    with repository.replaced(target, (card.name,)) as fresh:
        model = fresh / card.name
        graph = model / "1"
        graph.mkdir(parents=True)
        on_stage(f"building the graph in {precision}")
        files = building.build(folder, graph, config, precision, on_gpu=device == "cuda")
        serving.write(model)
        on_stage("comparing it with the source model")
        export = Export(
            model_digest=saving.digest(files),
            tokenizer_digest=repository.write_tokenizer(model, tokenizer),
            precision=precision,
            flavour=flavour,
            inputs=tuple(INPUTS),
            outputs=tuple(OUTPUTS),
            hidden_size=config.hidden_size,
            slots=serving.slots,
            parity=comparing.measure(expected, files[0], precision),
            versions={program: version(program) for program in PROGRAMS},
        )
        resolved = card.resolved(hidden_size=config.hidden_size, max_tokens=serving.session_tokens)
        repository.describe(model, resolved, export)
    return ModelRepository(target).load(card.name)


def check_decoder(card: Card) -> None:
    """Raise Unimplemented if models like this one cannot be exported."""
    family = card.checkpoint.text.family
    seen = card.checkpoint.vision.family if card.checkpoint.vision else None
    if family not in _FAMILIES or seen not in (None, "siglip2"):
        raise Unimplemented(
            f"{card.name} is a {card.kind} model of the family {family};"
            f" decoders of the families {', '.join(_FAMILIES)} can be exported, alone or with SigLIP 2"
        )


def check_combination(precision: Precision, flavour: Flavour) -> None:
    """Raise InvalidArgument for a precision or a flavour that decoders do not have."""
    if flavour == "tensorrt":
        raise InvalidArgument("--flavour", "is tensorrt; decoders run on ONNX Runtime: python (CPU), onnxruntime (GPU)")
    if precision == "int8":
        raise InvalidArgument("--precision", "is int8; decoders take int4, fp32 (CPU) or fp16 (GPU)")
    if flavour == "python" and precision == "fp16":
        raise InvalidArgument("--precision", "is fp16, for which CPUs have no kernels; python takes fp32 or int4")
    if flavour == "onnxruntime" and precision == "fp32":
        raise InvalidArgument("--precision", "is fp32; the attention of GPUs takes fp16 or int4")


def end_ids(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Tokens by which a text ends: of generation_config.json, which knows the end of a turn, else of config.json.

    Raises InvalidArgument if neither says.
    """
    file = "generation_config.json"
    generation = checkpoint.json(file) if (checkpoint.folder / file).is_file() else {}
    found = generation.get("eos_token_id", checkpoint.config.get("eos_token_id"))
    ids = found if isinstance(found, list) else [found]
    if not ids or not all(isinstance(token, int) for token in ids):
        raise checkpoint.wrong("config.json", "has no usable eos_token_id")
    return tuple(ids)
