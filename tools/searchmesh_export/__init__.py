"""From a published checkpoint to a model that tritonserver serves.

::

    checkpoint.py   reads the folder: sizes, tokenizer, pooling, longest sequence
    weights.py      its tensors, read one at a time
    keys.py         published tensors in the place of a module's own
    families.py     which code reads which checkpoint
    built.py        what a family makes of a checkpoint: the resolved card and torch modules
    attention.py    attention written out or as an operator of ONNX Runtime
    rotary.py       rotary positions likewise
    adapters.py     LoRA that every row of a batch chooses for itself
    bert.py         BERT encoders
    xlm_*.py        XLM-RoBERTa encoders with learned or rotary positions, and what is built on them
    eva.py          the vision tower of EVA-02
    qwen*.py        Qwen2 and Qwen3 decoders, Qwen2-VL and Qwen2.5-VL with their vision towers
    pooled.py       from the states of tokens to vectors
    tensors.py      every input and output there is
    samples.py      valid values for them
    graph.py        torch module → ONNX
    rowwise.py      MatMuls in int8 with a scale per row
    parts.py        linear layers in parts
    cpu.py          what makes a graph fast on ONNX Runtime's CPU kernels
    lowering.py     a torch module as ONNX in a precision, for what will run it
    saving.py       ONNX as files, large weights in one of their own
    parity.py       the graph against the module it was made of
    profiles.py     the shapes that TensorRT builds an engine for
    serving.py      config.pbtxt of each flavour
    templates/      model.py, which runs the graph in Triton's Python backend
    repository.py   puts it all in place, whole or not at all
    exporter.py     the stages in order
    pull.py         checkpoints from the Hugging Face hub
    cli.py          ``searchmesh models export`` and ``pull``

torch is imported here alone, and only while exporting.
"""
