# syntax=docker/dockerfile:1.10
# The stock tritonserver image with what the decoder models' Python backend needs. Encoders run on the stock image.
ARG TRITON=26.08-py3
FROM nvcr.io/nvidia/tritonserver:${TRITON}
# The CUDA build of the release that the exporter uses; "onnxruntime-genai" for nodes without a GPU.
ARG GENAI=onnxruntime-genai-cuda
ARG GENAI_VERSION=0.18.0
RUN pip install --no-cache-dir --disable-pip-version-check "${GENAI}==${GENAI_VERSION}"
USER 1000:1000
