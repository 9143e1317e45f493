"""Benchmarks of the mesh: load, the figures it must reach, and retrieval quality on judged collections."""
