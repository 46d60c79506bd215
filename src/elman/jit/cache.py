"""The stored compiled kernels, each in a file for its types of arguments and the processor."""

import ast
import hashlib
import json
import os
import platform
import re
import secrets
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import llvmlite
import numpy as np
from llvmlite import binding

from elman.errors import ElmanError, quote
from elman.fronts import list_front
from elman.jit.processor import HAS_AMX, version_file
from elman.storage import kernel_dir
from elman.storage.files import replace_file

_IMPORT = re.compile(rb"^(?:from|import) ([\w.]+)(?: import (\([^)]*\)|[^\n#]*))?", re.MULTILINE)


@cache
def _read_module(module: str) -> tuple[bytes, frozenset[str]]:
    """Return the source of a module, and the names of the modules that it imports at the top."""
    file = import_module(module).__file__
    source, names = b"" if file is None else Path(file).read_bytes(), set[str]()
    for package, members in _IMPORT.findall(source):
        found, imported = package.decode(), re.findall(r"\w+", members.decode())
        names |= {found, *(f"{found}.{member}" for member in imported)}
        if found in sys.modules and found.startswith("elman"):  # a package may offer names that others define
            names |= {list_front(found).get(member, found) for member in imported}
    return source, frozenset(names & sys.modules.keys())


def read_sources(module: str) -> dict[str, bytes]:
    """Return, by module, the sources that the kernels of a module are compiled from: its own and those it imports.

    Only modules of its own package and of Elman are included.
    """
    packages, sources, added = {"elman", module.partition(".")[0]}, dict[str, bytes](), {module}
    while added:
        read = {name: _read_module(name) for name in added}
        sources |= {name: source for name, (source, _) in read.items()}
        imported = {name for _, names in read.values() for name in names if name.partition(".")[0] in packages}
        added = imported - sources.keys()
    return dict(sorted(sources.items()))


def digest_sources(sources: Mapping[str, bytes]) -> str:
    """Return the digest of the code of modules, which does not depend on comments, docstrings and positions.

    It includes whether the system allows AMX.
    """
    described = b"".join(module.encode() + _describe_source(source) for module, source in sources.items())
    return hashlib.sha256(described + bytes([HAS_AMX])).hexdigest()


@cache
def _describe_source(source: bytes) -> bytes:
    code = compile(_on_one_line(source), "", "exec", dont_inherit=True, optimize=2)
    return repr([_describe(each) for each in _walk(code)]).encode()


def _on_one_line(source: bytes) -> ast.Module:
    """Parse a module and forget its lines, which are a part of the code of a class from Python 3.13 on."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in node._attributes:  # the line and the column of its start and its end
            setattr(node, name, 1)
    return tree


def _walk(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a module, and of the functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)


def _describe(code: CodeType) -> tuple[Any, ...]:
    """Return a description of code that does not contain its position."""
    constants = [
        sorted(map(repr, each)) if isinstance(each, frozenset) else each  # its order differs between processes
        for each in code.co_consts
        if not isinstance(each, CodeType)
    ]
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return (
        code.co_code,
        code.co_exceptiontable,
        constants,
        names,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
    )


@cache
def find_digest(module: str) -> str | None:
    """Return the digest of the sources of the kernels of a module; None if the kernels cannot be stored.

    The digest is stored for exactly these sources, because compiling all of them takes a while.
    """
    sources = read_sources(module)
    digest = hashlib.sha256(bytes([HAS_AMX]))
    for name, source in sources.items():
        digest.update(name.encode() + source)
    path = _kernel_folder("digests") / digest.hexdigest()
    with suppress(OSError, UnicodeDecodeError):
        stored = path.read_text("ascii")
        if re.fullmatch("[0-9a-f]{64}", stored):
            return stored
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        _warn_of_cache()
        return None
    found = digest_sources(sources)
    with suppress(ElmanError):
        replace_file(path, found.encode())
    return found


@cache  # warns for the first module only
def _warn_of_cache() -> None:
    variable = "NUMBA_CACHE_DIR" if os.environ.get("NUMBA_CACHE_DIR") else "ELMAN_CACHE"
    warnings.warn(
        f"cannot store compiled kernels in {quote(kernel_dir())}, which lacks kernels of these versions of Elman,"
        " Python, NumPy and Numba, so every command compiles them again:"
        f" set {variable} to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


_VERSIONS = [platform.python_version(), version_file("numba"), llvmlite.__version__, np.__version__]


def _kernel_folder(digest: str) -> Path:
    """Return the folder for files that depend on the sources with a digest; the package's own may be read-only.

    Environments share a folder if they have the same versions of these packages.
    """
    return kernel_dir() / f"kernels-{hashlib.sha256(repr([digest, *_VERSIONS]).encode()).hexdigest()[:16]}"


class StoredKernel(NamedTuple):
    """A kernel that is compiled for certain types of arguments, each described as by `elman.jit.runtime.pack`."""

    name: str
    kinds: tuple[str, ...]
    processor: str
    called: list[tuple[str, tuple[str, ...]]]  # the kernels it calls, which the linker finds by their symbols
    external: list[str]  # the symbols of all other functions that it calls
    symbol: str
    entry: str  # the symbol of the function that Python calls
    result: str  # the type of the result
    code: bytes
    numba: bytes  # everything else that Numba knows about it, as Numba serializes it


_NUMBA_OPTIONS = [os.environ.get(f"NUMBA_{name}") for name in ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "OPT")]
PROCESSOR = repr(
    [
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        _NUMBA_OPTIONS,
    ]
)
"""The properties of the machine on which the code of all kernels depends, besides their sources."""


def kernel_path(name: str, kinds: Sequence[str]) -> Path | None:
    """Return where a kernel, given by the names of its module and itself, is stored; None if it cannot be stored."""
    module, _, function = name.partition(":")
    digest = find_digest(module) if module != "__main__" else None  # another process could not import it
    if digest is None:
        return None
    key = hashlib.sha256(repr((kinds, PROCESSOR)).encode()).hexdigest()[:16]
    return _kernel_folder(digest) / f"{module.rpartition('.')[2]}.{function}-{key}.kernel"


def load_kernel(name: str, kinds: tuple[str, ...]) -> StoredKernel | None:
    """Return the stored kernel for these types of arguments; None if there is none."""
    path = kernel_path(name, kinds)
    if path is None:
        return None
    try:
        description, _, parts = path.read_bytes().partition(b"\n")
        fields = json.loads(description)
        size, digest = fields.pop("size"), fields.pop("digest")
        called = [(each, tuple(of_call)) for each, of_call in fields.pop("called")]
        stored = StoredKernel(**fields, called=called, code=parts[:size], numba=parts[size:])
    except (OSError, ValueError, LookupError, TypeError):  # the file is missing or damaged
        return None
    stored = stored._replace(kinds=tuple(stored.kinds))
    is_intact = hashlib.sha256(parts).hexdigest() == digest  # LLVM ends the process if it loads damaged code
    return stored if is_intact and stored[:3] == (name, kinds, PROCESSOR) else None


def store_kernel(stored: StoredKernel) -> None:
    """Store a kernel, if it can be; the file is complete at any time."""
    path = kernel_path(stored.name, stored.kinds)
    if path is not None:
        fields, partial = stored._asdict(), path.with_suffix(f".{secrets.token_hex(4)}")
        size, parts = len(stored.code), fields.pop("code") + fields.pop("numba")
        description = json.dumps(fields | {"size": size, "digest": hashlib.sha256(parts).hexdigest()}).encode()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(description + b"\n" + parts)
            partial.replace(path)
        except OSError:  # the disk may be full
            _warn_of_cache()
            with suppress(OSError):
                partial.unlink()
