"""The embedding cache: one row an entry, in Redis, with single-flight in front of the model."""

from searchmesh.cache.entries import Entry
from searchmesh.cache.keys import KeySpace
from searchmesh.cache.redis_cache import RowCache
from searchmesh.cache.single_flight import SingleFlight

__all__ = ["Entry", "KeySpace", "RowCache", "SingleFlight"]
