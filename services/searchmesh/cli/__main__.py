"""``python -m searchmesh.cli``."""

from searchmesh.cli.main import main

if __name__ == "__main__":
    main()
