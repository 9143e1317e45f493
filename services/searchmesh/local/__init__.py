"""The mesh on one machine: finds the real programs in their wheels, prepares them and supervises them."""

from __future__ import annotations

from searchmesh.local.control import SUPERVISOR, down, logs, status, up, up_detached
from searchmesh.local.home import Home
from searchmesh.local.mesh import NAMES, running
from searchmesh.local.ports import Ports, free_port_offset
from searchmesh.local.settings import MeshSettings
from searchmesh.local.state import ChildState, MeshState, Phase
from searchmesh.local.supervisor import Supervisor

__all__ = [
    "NAMES",
    "SUPERVISOR",
    "ChildState",
    "Home",
    "MeshSettings",
    "MeshState",
    "Phase",
    "Ports",
    "Supervisor",
    "down",
    "free_port_offset",
    "logs",
    "running",
    "status",
    "up",
    "up_detached",
]
