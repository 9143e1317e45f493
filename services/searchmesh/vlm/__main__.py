"""``python -m searchmesh.vlm``."""

from searchmesh.runtime.server import main
from searchmesh.vlm.app import build
from searchmesh.vlm.settings import VlmSettings

if __name__ == "__main__":
    main("vlm", VlmSettings, build)
