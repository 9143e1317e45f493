"""The figure of an export, on a checkpoint of the same layout that is small."""

from __future__ import annotations

from pathlib import Path

import pytest

from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench import random_checkpoint
from searchmesh_bench.figures.exporting import export, exporting


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"_LAYERS": 2, "_WIDTH": 64, "_HEADS": 4, "_INNER": 96, "_VOCABULARY": 6000}.items():
        monkeypatch.setattr(random_checkpoint, name, size)


async def test_each_precision_is_exported_in_a_process_of_its_own() -> None:
    figure = await exporting(None)  # type: ignore[arg-type]
    assert figure.met
    assert [row.what for row in figure.comparisons] == ["fp32", "int8"]
    for row in figure.comparisons:
        assert row.measured > 1  # seconds: it has to import torch
        assert 0.1 < row.result < 3  # GiB: no less than that, and not those of this process
    assert figure.comparisons[0].reference > figure.comparisons[1].reference > 0
    assert "the layout of jina-embeddings-v3" in figure.title
    assert "Processor time: fp32 " in figure.conditions[0]


def test_an_export_that_fails_tells_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailedPrecondition, match=r"the export failed: .*config\.json does not exist"):
        export("jina-embeddings-v3", tmp_path / "empty", tmp_path / "repository", "fp32")
