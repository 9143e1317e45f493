"""Export of a decoder that reads images: features of a vision graph are added to the vectors of its tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from searchmesh.catalog import Card, Export, ExportedModel, Flavour, ModelRepository, Parity, Precision
from searchmesh.catalog.repository import VISION
from searchmesh.catalog.sections import Generation
from searchmesh.runtime.errors import Internal
from searchmesh_export import parity, repository, saving
from searchmesh_export.built import Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.decoders import building, comparing
from searchmesh_export.decoders.exporting import PROGRAMS, check_combination, end_ids
from searchmesh_export.decoders.reference import reference
from searchmesh_export.decoders.serving import IMAGE_INPUTS, INPUTS, OUTPUTS, Serving
from searchmesh_export.jina_vlm import vision_graph
from searchmesh_export.jina_vlm_images import image_section
from searchmesh_export.jina_vlm_text import language_model, write_qwen3

ILLUSTRATED_STAGES = 8

_TEMPLATE, _PROCESSOR = "chat_template.jinja", "processor_config.json"


@dataclass(frozen=True)
class Written:
    """A vision graph in the repository."""

    files: tuple[Path, ...]
    max_rows: int
    parity: Parity


WriteVision = Callable[[Path, Graph, Card], Written]
"""Write a graph into a folder of new models, in the precision that goes with the decoder's."""


def export_illustrated(
    card: Card,
    folder: Path,
    target: Path,
    *,
    precision: Precision,
    flavour: Flavour,
    on_stage: Callable[[str], None],
    write_vision: WriteVision,
) -> ExportedModel:
    """As `export_decoder`, for a decoder with a vision graph."""
    check_combination(precision, flavour)
    on_stage("reading the checkpoint")
    checkpoint = Checkpoint(folder)
    tokenizer = checkpoint.tokenizer()
    module, config = language_model(checkpoint, card)
    if (highest := max(tokenizer.get_vocab(with_added_tokens=True).values())) >= config.vocab_size:
        raise checkpoint.wrong("tokenizer.json", f"gives the token {highest}; the model has {config.vocab_size}")
    device = "cpu" if flavour == "python" else "cuda"
    serving = Serving(
        name=card.name,
        config=config,
        device=device,
        number_bytes=4 if device == "cpu" else 2,
        end_ids=end_ids(checkpoint),
        max_tokens=min(card.max_tokens, config.max_position_embeddings),
        illustrated=True,
    )
    resolved = card.resolved(hidden_size=config.hidden_size, max_tokens=serving.session_tokens).model_copy(
        update={"image": image_section(checkpoint, card), "generation": _generation(checkpoint, card)}
    )

    on_stage("running the source model")
    expected = reference(module, tokenizer, serving.max_tokens)

    with repository.replaced(target, (card.name + VISION, card.name)) as fresh:
        model = fresh / card.name
        graph = model / "1"
        graph.mkdir(parents=True)
        on_stage(f"building the graph in {precision}")
        with tempfile.TemporaryDirectory(dir=fresh) as work:
            plain = Path(work) / "qwen3"
            write_qwen3(module, config, checkpoint, plain)
            written = module.written
            del module
            files = building.build(plain, graph, config, precision, on_gpu=device == "cuda")
        illustrate(files[0], config.hidden_size, written)
        serving.write(model)
        on_stage("comparing it with the source model")
        measured = comparing.measure(expected, files[0], precision)
        vision = write_vision(fresh, vision_graph(checkpoint), resolved)
        export = Export(
            model_digest=saving.digest([*files, *vision.files]),
            tokenizer_digest=repository.write_tokenizer(model, tokenizer),
            precision=precision,
            flavour=flavour,
            inputs=(*INPUTS, *IMAGE_INPUTS),
            outputs=tuple(OUTPUTS),
            hidden_size=config.hidden_size,
            slots=serving.slots,
            max_images=vision.max_rows,
            parity=parity.worst([measured, vision.parity]),
            versions={program: version(program) for program in PROGRAMS},
        )
        repository.describe(model, resolved, export)
    return ModelRepository(target).load(card.name)


def illustrate(file: Path, width: int, written: int) -> None:
    """Give a decoder's graph, in place, the input ``added`` FP32 [rows, length, width], which is added to the vectors
    of its tokens, and logits of the first `written` tokens alone."""
    model = ir.load(file)
    graph = model.graph
    (ids,) = (value for value in graph.inputs if value.name == "input_ids")
    lookups = [node for node in ids.consumers() if node.op_type in ("Gather", "GatherBlockQuantized")]
    if len(lookups) != 1:
        raise Internal(f"the graph looks its tokens up {len(lookups)} times")
    words = lookups[0].outputs[0]
    added = ir.Value(name="added", shape=ir.Shape(["rows", "length", width]), type=ir.TensorType(ir.DataType.FLOAT))
    cast = ir.node("CastLike", [added, words], name="/added/cast")
    total = ir.node("Add", [words, cast.outputs[0]], name="/added/add")
    total.outputs[0].shape, total.outputs[0].type = words.shape, words.type
    replace_all_uses_with(words, total.outputs[0])
    total.replace_input_with(0, words)
    cast.replace_input_with(1, words)
    graph.insert_after(lookups[0], [cast, total])
    graph.inputs.append(added)
    _cut_logits(graph, written)
    file.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _cut_logits(graph: ir.Graph, written: int) -> None:
    (place,) = (place for place, value in enumerate(graph.outputs) if value.name == "logits")
    whole = graph.outputs[place]
    whole.name = "/lm_head/padded"
    bounds = [
        ir.tensor([number], dtype=ir.DataType.INT64, name=f"/lm_head/{name}")
        for name, number in (("first", 0), ("last", written), ("vocabulary", 2))
    ]
    values = [ir.Value(name=bound.name, const_value=bound) for bound in bounds]
    for value in values:
        graph.register_initializer(value)
    cut = ir.node("Slice", [whole, *values], name="/lm_head/written")
    logits = cut.outputs[0]
    logits.name, logits.type = "logits", whole.type
    logits.shape = ir.Shape([*list(whole.shape)[:-1], written]) if whole.shape is not None else None
    graph.append(cut)
    graph.outputs[place] = logits


def _generation(checkpoint: Checkpoint, card: Card) -> Generation:
    """The card's section with the checkpoint's chat template, and its own id of the first token."""
    own = card.generation
    if own is None:
        raise Internal(f"the card of {card.name} has no section generation")
    try:
        template = (checkpoint.folder / _TEMPLATE).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise checkpoint.wrong(_TEMPLATE, "does not exist") from None
    processor = checkpoint.json(_PROCESSOR) if (checkpoint.folder / _PROCESSOR).is_file() else {}
    tokens = {number: token for token, number in card.checkpoint.special_ids.items()}
    bos = tokens.get(own.bos_id or -1)
    known = checkpoint.tokenizer().token_to_id(bos) if bos else None
    return own.model_copy(
        update={
            "jinja_template": template,
            "always_start_with_space": bool(processor.get("always_start_with_space", False)),
            "bos_id": own.bos_id if known is None else known,
        }
    )
