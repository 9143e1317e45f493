"""``python -m searchmesh.local``: the mesh in this process, for whoever starts it in the background."""

from __future__ import annotations

import logging
import os
import sys

from searchmesh.local.control import SUPERVISOR, up
from searchmesh.local.settings import MeshSettings
from searchmesh.runtime.errors import SearchmeshError
from searchmesh.runtime.telemetry import configure_logging


def main() -> int:
    """Run until a signal; the exit code."""
    settings = MeshSettings()
    configure_logging(SUPERVISOR, settings.log_level)
    os.chdir("/")
    try:
        up(settings)
    except SearchmeshError as error:
        logging.getLogger(__name__).error("%s", error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
