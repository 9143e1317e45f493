"""From the bytes of an image to what a vision tower reads."""

from searchmesh.images.crops import Cropping, Crops
from searchmesh.images.decode import decode, probe
from searchmesh.images.grid import Grid, tokens
from searchmesh.images.loader import ImageLoader
from searchmesh.images.patches import Patches, to_patches
from searchmesh.images.pixels import to_pixels
from searchmesh.images.positions import image_index, mrope_positions
from searchmesh.images.settings import ImageLimits, ImageSettings

__all__ = [
    "Cropping",
    "Crops",
    "Grid",
    "ImageLimits",
    "ImageLoader",
    "ImageSettings",
    "Patches",
    "decode",
    "image_index",
    "mrope_positions",
    "probe",
    "to_patches",
    "to_pixels",
    "tokens",
]
