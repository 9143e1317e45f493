"""Published tensors in the place of a module's own, and what is said of those that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from searchmesh.runtime.errors import Internal, InvalidArgument
from searchmesh_export import keys
from searchmesh_export.keys import Made, Source
from searchmesh_export.weights import Weights

WIDTH = 4


class Module(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.ranks = nn.Parameter(torch.empty(6, WIDTH))
        self.out = nn.Linear(WIDTH, 2)


PUBLISHED = {
    "Wqk": torch.arange(2.0 * WIDTH * WIDTH).view(2 * WIDTH, WIDTH),
    "a.lora": torch.full((3, WIDTH), 1.0),
    "b.lora": torch.full((3, WIDTH), 2.0),
    "out.weight": torch.ones(2, WIDTH),
    "out.bias": torch.zeros(2),
}


def source(name: str) -> Source:
    match name.split(".")[0]:
        case "query":
            return Made(lambda fused: fused.chunk(2)[0], ("Wqk",))
        case "key":
            return Made(lambda fused: fused.chunk(2)[1], ("Wqk",))
        case "ranks":
            return Made(lambda *parts: torch.cat(parts) * 0.5, ("a.lora", "b.lora"))
    return name


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Module]:
    def load(**changes: Tensor | None) -> Module:
        tensors = {name: tensor for name, tensor in (PUBLISHED | changes).items() if tensor is not None}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
        return keys.load(Module, Weights.of(tmp_path / "model.safetensors"), source)

    return load


def test_fused_and_scattered_tensors_are_taken_apart_and_put_together(load: Callable[..., Module]) -> None:
    module = load()
    torch.testing.assert_close(module.query.weight, PUBLISHED["Wqk"][:WIDTH])
    torch.testing.assert_close(module.key.weight, PUBLISHED["Wqk"][WIDTH:])
    torch.testing.assert_close(module.ranks, torch.tensor([0.5, 0.5, 0.5, 1, 1, 1])[:, None].expand(6, WIDTH))
    assert not module.training
    assert all(parameter.is_contiguous() for parameter in module.parameters())


def test_half_precision_becomes_float32(load: Callable[..., Module]) -> None:
    module = load(Wqk=PUBLISHED["Wqk"].bfloat16())
    assert module.query.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Wqk": None, "b.lora": None}, "lacks b.lora, Wqk"),
        ({"c.lora": torch.ones(3, WIDTH)}, "has unknown c.lora"),
        ({"out.bias": torch.zeros(3)}, "has misshapen out.bias [3] instead of [2]"),
        # Named once, though two tensors are made of it.
        ({"Wqk": torch.ones(6, WIDTH)}, "has misshapen Wqk [6, 4] for [4, 4]"),
        ({"b.lora": torch.ones(5, WIDTH)}, "has misshapen a.lora [3, 4], b.lora [5, 4] for [6, 4]"),
        ({"b.lora": torch.ones(3, 9)}, "has misshapen a.lora [3, 4], b.lora [3, 9] for [6, 4]"),
    ],
)
def test_keys_that_do_not_fit_are_named_as_they_are_published(
    load: Callable[..., Module], tmp_path: Path, changes: dict[str, Tensor | None], problem: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        load(**changes)
    assert raised.value.problem == f"{tmp_path}/model.safetensors {problem}"


def test_names_may_be_changed_and_useless_tensors_dropped_before(tmp_path: Path) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in PUBLISHED.items()} | {"model.pooler": torch.ones(1)}
    save_file(tensors, tmp_path / "model.safetensors")

    def rename(name: str) -> str | None:
        name = name.removeprefix("model.")
        return None if name == "pooler" else name

    weights = Weights.of(tmp_path / "model.safetensors").renamed(rename)
    keys.load(Module, weights, source)
    assert weights.published("Wqk") == "model.Wqk"
    with pytest.raises(InvalidArgument, match=r"has unknown model\.out\.bias, model\.out\.weight"):
        keys.load(nn.Identity, weights.renamed(lambda name: name if name.startswith("out") else None), source)


def test_two_files_are_read_as_one(tmp_path: Path) -> None:
    names = sorted(PUBLISHED)
    for file, part in {"a": names[::2], "b": names[1::2]}.items():
        save_file({name: PUBLISHED[name] for name in part}, tmp_path / file)
    both = Weights.of(tmp_path / "a") | Weights.of(tmp_path / "b")
    assert sorted(both) == names
    keys.load(Module, both, source)
    with pytest.raises(InvalidArgument, match=r"a lacks"):
        keys.load(Module, Weights.of(tmp_path / "a"), source)


class _WithBuffer(Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(2), persistent=False)


def test_a_module_with_buffers_is_refused(tmp_path: Path) -> None:
    save_file(PUBLISHED, tmp_path / "model.safetensors")
    with pytest.raises(Internal, match="the buffers table have no published weights"):
        keys.load(_WithBuffer, Weights.of(tmp_path / "model.safetensors"), source)
