"""Fetching what a caller names by URL, without becoming the caller's way into the network the service runs in."""

from searchmesh.fetch.fetcher import Fetcher
from searchmesh.fetch.resolver import Resolver, SystemResolver
from searchmesh.fetch.responses import Fetched, Opened
from searchmesh.fetch.settings import FetchSettings

__all__ = ["FetchSettings", "Fetched", "Fetcher", "Opened", "Resolver", "SystemResolver"]
