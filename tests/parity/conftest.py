from __future__ import annotations

from pathlib import Path

import pytest

from support.checkpoints import write_bert


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small BERT."""
    return write_bert(tmp_path_factory.mktemp("checkpoints") / "tiny")
