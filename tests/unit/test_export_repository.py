"""Folders of the model repository take their places together, or stay as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from searchmesh_export.repository import replaced

NAMES = ("model-vision", "model")


def put(repository: Path, content: str, names: tuple[str, ...] = NAMES) -> None:
    with replaced(repository, NAMES) as fresh:
        for name in names:
            (fresh / name).mkdir()
            (fresh / name / "file").write_text(content)


def contents(repository: Path) -> dict[str, str]:
    return {path.name: (path / "file").read_text() for path in repository.iterdir()}


def test_all_folders_are_replaced(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "repository", "one")
    put(tmp_path / "deep" / "repository", "two")
    assert contents(tmp_path / "deep" / "repository") == {"model": "two", "model-vision": "two"}


def test_a_folder_that_is_not_written_again_goes_and_others_stay(tmp_path: Path) -> None:
    put(tmp_path, "one")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("other")
    put(tmp_path, "two", ("model",))
    assert contents(tmp_path) == {"model": "two", "other": "other"}


def fail_halfway(repository: Path) -> None:
    with replaced(repository, NAMES) as fresh:
        (fresh / "model").mkdir()
        raise OSError("no space left")


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    put(tmp_path, "one")
    with pytest.raises(OSError, match="no space left"):
        fail_halfway(tmp_path)
    assert contents(tmp_path) == {"model": "one", "model-vision": "one"}


@pytest.mark.parametrize("failing", range(1, 5))
def test_a_rename_that_fails_is_undone_with_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    put(tmp_path, "one")
    rename, calls = Path.rename, 0

    def once_failing(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError("input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once_failing)
    with pytest.raises(OSError, match="input/output error"):
        put(tmp_path, "two")
    assert calls >= failing
    assert contents(tmp_path) == {"model": "one", "model-vision": "one"}


def test_the_graph_of_images_is_there_before_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, placed = Path.rename, []

    def watched(self: Path, target: Path) -> Path:
        placed.append(target.relative_to(tmp_path).as_posix())
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    put(tmp_path, "one")
    assert placed == ["model-vision", "model"]
    placed.clear()
    put(tmp_path, "two")
    assert [name.rpartition("/")[2] for name in placed] == ["model", "model-vision", "model-vision", "model"]
    assert placed[2:] == ["model-vision", "model"]
