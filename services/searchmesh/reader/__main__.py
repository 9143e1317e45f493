"""``python -m searchmesh.reader``."""

from searchmesh.reader.app import build
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.server import main

if __name__ == "__main__":
    main("reader", ReaderSettings, build)
