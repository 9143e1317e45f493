"""From a published checkpoint to a model that tritonserver serves.

::

    checkpoint.py   reads the folder: sizes, weights, tokenizer, pooling, longest sequence
    bert.py         the encoder as a torch module
    pooled.py       token vectors and one unit-length sentence vector
    graph.py        torch module → ONNX
    rowwise.py      MatMuls in int8 with a scale per row
    cpu.py          what makes a graph fast on ONNX Runtime's CPU kernels
    parity.py       the graph against the source model run by transformers
    serving.py      config.pbtxt of each flavour
    templates/      model.py, which runs the graph in Triton's Python backend
    repository.py   writes it all, whole or not at all
    exporter.py     the stages in order
    cli.py          ``searchmesh models export``

torch and transformers are imported here alone, and only while exporting.
"""
