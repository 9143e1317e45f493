"""``python -m searchmesh.router``."""

from searchmesh.router.app import build
from searchmesh.router.settings import RouterSettings
from searchmesh.runtime.server import main

if __name__ == "__main__":
    main("router", RouterSettings, build)
