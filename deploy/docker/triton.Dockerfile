# syntax=docker/dockerfile:1.10
# The stock tritonserver image with what the decoder models' Python backend needs. Encoders run on the stock image.
ARG TRITON=26.08-py3
FROM nvcr.io/nvidia/tritonserver:${TRITON}
# ONNX Runtime for the GPU; "onnxruntime" for nodes without one. llguidance makes texts keep to a JSON Schema.
ARG ONNXRUNTIME=onnxruntime-gpu
ARG ONNXRUNTIME_VERSION=1.31.1
ARG LLGUIDANCE_VERSION=1.9.1
RUN pip install --no-cache-dir --disable-pip-version-check \
    "${ONNXRUNTIME}==${ONNXRUNTIME_VERSION}" "llguidance==${LLGUIDANCE_VERSION}"
USER 1000:1000
