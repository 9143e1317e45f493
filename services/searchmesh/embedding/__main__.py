"""``python -m searchmesh.embedding``."""

from searchmesh.embedding.app import build
from searchmesh.embedding.settings import EmbeddingSettings
from searchmesh.runtime.server import main

if __name__ == "__main__":
    main("embedding", EmbeddingSettings, build)
