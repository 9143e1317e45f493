"""``python -m searchmesh.reranker``."""

from searchmesh.reranker.app import build
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.server import main

if __name__ == "__main__":
    main("reranker", RerankerSettings, build)
