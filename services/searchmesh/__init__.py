"""searchmesh: a self-hosted serving mesh for search foundation models."""

__version__ = "0.1.0"
