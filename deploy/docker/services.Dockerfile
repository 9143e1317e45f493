# syntax=docker/dockerfile:1.10
# The image of every service; which one runs is the command: python -m searchmesh.router, …embedding, …reranker, …
# No torch, no transformers, no compiler. Build it with deploy/docker/build.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY services services
COPY tools tools
# Comma-separated extras of pyproject.toml that the services of this image need besides the base.
ARG EXTRAS=""
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN python -m venv /opt/searchmesh \
    && /opt/searchmesh/bin/pip install --constraint constraints.txt ".${EXTRAS:+[${EXTRAS}]}" \
    && find /opt/searchmesh -name '__pycache__' -prune -exec rm -rf {} + \
    && /opt/searchmesh/bin/python -m compileall -q /opt/searchmesh/lib

FROM python:${PYTHON}
RUN groupadd --gid 65532 searchmesh \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin searchmesh
COPY --from=build /opt/searchmesh /opt/searchmesh
# Containers listen on all addresses; the root file system is read-only, so nothing is compiled at run time.
ENV PATH=/opt/searchmesh/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SEARCHMESH_HOST=0.0.0.0
USER 65532:65532
WORKDIR /tmp
CMD ["python", "-m", "searchmesh.router"]
