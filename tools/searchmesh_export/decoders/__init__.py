"""Export of models that write texts."""

from searchmesh_export.decoders.exporting import DECODER_STAGES, check_decoder, export_decoder

__all__ = ["DECODER_STAGES", "check_decoder", "export_decoder"]
