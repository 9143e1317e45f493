"""The reranking service."""
