"""Checkpoints from the Hugging Face hub.

huggingface_hub knows the API, the credentials and the errors. Its own downloads of large files start again when the
process was interrupted, so the bytes are fetched here.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, filter_repo_objects, hf_raise_for_status, http_stream_backoff

from searchmesh.catalog import HubSource
from searchmesh.runtime.errors import FailedPrecondition, NotFound, SearchmeshError, Unavailable

_NEEDED = ["*.json", "*.safetensors", "*.jinja", "artifact.metadata", "LICENSE*"]
_ELSEWHERE = ["onnx/*", "openvino/*", "gguf/*"]
"""The same weights in other formats."""

_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_FULL = 40

_ATTEMPTS = 5
"""Broken connections in a row that brought no byte."""

_PAUSE_S = 1.0

_BLOCK_BYTES = 1 << 20
_PARTIAL = ".part"


class Progress(Protocol):
    """Called with bytes that are there, and with how many there will be."""

    def __call__(self, done: int, total: int) -> None: ...


def resolve(source: HubSource, name: str, revision: str | None = None) -> str:
    """The commit that a revision (default: the source's) stands for.

    Raises NotFound (no such repository or revision), FailedPrecondition (its terms were not accepted) or Unavailable
    (the hub cannot be reached), each saying what to do to export `name` nevertheless.
    """
    revision = revision or source.revision
    if _COMMIT.fullmatch(revision) and len(revision) == _FULL:
        return revision
    with _explained(source, name, revision):
        api = HfApi()
        if not _COMMIT.fullmatch(revision):
            return str(api.repo_info(source.hf_repo, revision=revision).sha)
        # The hub does not complete an abbreviated commit.
        head = str(api.repo_info(source.hf_repo).sha)
        commits = (str(commit.commit_id) for commit in api.list_repo_commits(source.hf_repo))
        found = next((commit for commit in (head, *commits) if commit.startswith(revision)), None)
        return found or str(api.repo_info(source.hf_repo, revision=revision).sha)


def download(source: HubSource, commit: str, folder: Path, name: str, on_progress: Progress) -> None:
    """Download what an export needs into `folder`, which belongs to this commit.

    Files that are there are kept, and one that was cut off goes on where it ended. Raises as `resolve` does.
    """
    with _explained(source, name, commit):
        listed = HfApi().list_repo_tree(source.hf_repo, revision=commit, recursive=True)
        files = {file.path: file for file in listed if isinstance(file, RepoFile)}
        wanted = [
            files[path] for path in filter_repo_objects(files, allow_patterns=_NEEDED, ignore_patterns=_ELSEWHERE)
        ]
        total, done = sum(file.size for file in wanted), 0

        def on_size(size: int) -> None:
            on_progress(done + size, total)

        for file in wanted:
            target = folder / file.path
            if not target.is_file():
                url = hf_hub_url(source.hf_repo, file.path, revision=commit, endpoint=constants.ENDPOINT)
                _fetch(url, file, target, on_size)
            done += file.size
            on_size(0)


def _fetch(url: str, file: RepoFile, target: Path, on_size: Callable[[int], None]) -> None:
    """One file, by way of a partial one that a later call goes on with."""
    partial = target.with_name(target.name + _PARTIAL)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    failures = 0
    while (size := partial.stat().st_size) < file.size:
        try:
            _append(url, partial, size, on_size)
        except HfHubHTTPError:
            raise
        except HTTPError:
            failures = failures + 1 if partial.stat().st_size == size else 0
            if failures == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S)
    if partial.stat().st_size != file.size or (file.lfs is not None and _sha256(partial) != file.lfs.sha256):
        partial.unlink()
        raise Unavailable(
            f"{url} came with other bytes than announced; run the same command again", reason="HUB_CORRUPT"
        )
    partial.rename(target)


def _append(url: str, partial: Path, size: int, on_size: Callable[[int], None]) -> None:
    headers = {**build_hf_headers(), "Range": f"bytes={size}-", "Accept-Encoding": "identity"}
    with (
        http_stream_backoff(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, retry_on_exceptions=()
        ) as response,
        partial.open("ab") as content,
    ):
        hf_raise_for_status(response)
        if response.status_code != 206:  # all of it, whatever was asked for
            content.truncate(0)
            size = 0
        for block in response.iter_bytes(_BLOCK_BYTES):
            content.write(block)
            size += len(block)
            on_size(size)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _explained(source: HubSource, name: str, revision: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise _explanation(error, source.hf_repo, name, revision) from error


def _explanation(error: Exception, repository: str, name: str, revision: str) -> SearchmeshError:
    page = f"{constants.ENDPOINT}/{repository}"
    otherwise = (
        f"Or get revision {revision} of {repository} elsewhere and run: searchmesh models export {name} --from FOLDER"
    )
    match error:
        case OfflineModeIsEnabled():
            return Unavailable(f"HF_HUB_OFFLINE forbids to download {page}. {otherwise}", reason="HUB_OFFLINE")
        case GatedRepoError():
            return FailedPrecondition(
                f"{page} wants its terms accepted: do that there, then log in with `hf auth login` or set HF_TOKEN."
                f" {otherwise}",
                reason="CHECKPOINT_GATED",
            )
        case RevisionNotFoundError():
            return NotFound(f"{page} has no revision {revision}; name another one with --revision. {otherwise}")
        case RepositoryNotFoundError():
            return NotFound(
                f"{page} does not exist, or is not shown to you; if it is private, log in with `hf auth login`"
                f" or set HF_TOKEN. {otherwise}"
            )
    what = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Unavailable(
        f"{page} cannot be reached ({what}); what was downloaded is kept, and the same command goes on from there."
        f" {otherwise}",
        reason="HUB_UNAVAILABLE",
    )
