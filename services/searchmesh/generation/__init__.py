"""Texts from decoders: prompt in, pieces of text out."""

from searchmesh.generation.decoder import Decoder, Slot
from searchmesh.generation.decoders import Decoders
from searchmesh.generation.loops import LoopGuard
from searchmesh.generation.options import Options
from searchmesh.generation.settings import GenerationSettings
from searchmesh.generation.stops import Stops
from searchmesh.generation.writing import Finish, Written

__all__ = ["Decoder", "Decoders", "Finish", "GenerationSettings", "LoopGuard", "Options", "Slot", "Stops", "Written"]
