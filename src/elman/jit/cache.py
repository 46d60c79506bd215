"""The compiled kernels that are stored, each in a file for its types of arguments and the processor."""

import ast
import hashlib
import json
import os
import platform
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import llvmlite
import numpy as np
from llvmlite import binding

from elman.errors import ElmanError, quote
from elman.jit.mode import version_file
from elman.jit.processor import HAS_AMX
from elman.storage import kernel_dir
from elman.storage.files import replace_file


def kernel_sources() -> dict[str, Path]:
    """Return, by module, the files that kernels are compiled from: their own, and those that define their constants."""
    root = Path(__file__).parents[2]
    folders = (root / "elman" / folder for folder in ("jit", "engine/numba", "apps/compress", "network", "ngram"))
    paths = (path for folder in folders for path in sorted(folder.rglob("*.py")))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def digest_sources(sources: Mapping[str, bytes]) -> dict[str, str]:
    """Return, by module, the digest of what its kernels are compiled from.

    That is its code and the code of those of the modules that it imports, directly or not: without comments and
    docstrings, wherever it is in its file. It includes whether the system allows AMX.
    """
    codes = {
        module: list(_walk(compile(_on_one_line(source), module, "exec", dont_inherit=True, optimize=2)))
        for module, source in sources.items()
    }
    imports = {module: sources.keys() & _imported_modules(code) for module, code in codes.items()}
    described = {module: repr([_describe(each) for each in code]).encode() for module, code in codes.items()}
    digests = {}
    for module in sources:
        found, added = {module}, {module}
        while added:
            added = {name for each in added for name in imports[each]} - found
            found |= added
        code = b"".join(described[name] for name in sorted(found))
        digests[module] = hashlib.sha256(code + bytes([HAS_AMX])).hexdigest()
    return digests


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
    """Return what code does, without where it is."""
    constants = [
        sorted(map(repr, each)) if isinstance(each, frozenset) else each  # whose order differs between processes
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


def _imported_modules(codes: Sequence[CodeType]) -> Iterator[str]:
    """Yield the names of what a module may import: each, and each in each."""
    names = {name for code in codes for name in code.co_names}
    packages = {name for name in names if name.startswith("elman.")}
    yield from (*names, *(f"{package}.{name}" for package in packages for name in names))


def _open_cache() -> dict[str, str] | None:
    """Return the digests of `digest_sources`, or None, after a warning, if kernels cannot be stored.

    They are stored for these very sources, as compiling all of them takes a while.
    """
    sources = {module: path.read_bytes() for module, path in kernel_sources().items()}
    digest = hashlib.sha256(bytes([HAS_AMX]))
    for module, source in sources.items():
        digest.update(module.encode() + source)
    path = _kernel_folder(digest.hexdigest()) / "digests.json"
    with suppress(OSError, ValueError, RecursionError, AttributeError):  # it has no keys
        digests: dict[str, str] = json.loads(path.read_bytes())
        if digests.keys() == sources.keys() and all(isinstance(each, str) for each in digests.values()):
            return digests
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        variable = "NUMBA_CACHE_DIR" if os.environ.get("NUMBA_CACHE_DIR") else "ELMAN_CACHE"
        warnings.warn(
            f"cannot store compiled kernels in {quote(kernel_dir())}, which has none of these versions of Elman,"
            " Python, NumPy and Numba, so every command compiles them again:"
            f" set {variable} to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    digests = digest_sources(sources)
    with suppress(ElmanError):
        replace_file(path, json.dumps(digests).encode())
    return digests


_VERSIONS = [platform.python_version(), version_file("numba"), llvmlite.__version__, np.__version__]


def _kernel_folder(digest: str) -> Path:
    """The folder for what depends on the sources with a digest; the package's own may be read-only.

    Environments with the same versions share it, and those with others have their own.
    """
    return kernel_dir() / f"kernels-{hashlib.sha256(repr([digest, *_VERSIONS]).encode()).hexdigest()[:16]}"


_DIGESTS = _open_cache()


class StoredKernel(NamedTuple):
    """A kernel that is compiled for certain types of arguments, each described as by `elman.jit.runtime.pack`."""

    name: str
    kinds: tuple[str, ...]
    processor: str
    called: list[tuple[str, tuple[str, ...]]]  # the kernels it calls, which the linker finds by their symbols
    external: list[str]  # the symbols of everything else that it calls
    symbol: str
    entry: str  # the symbol of what Python calls
    result: str  # the type of the result
    code: bytes
    numba: bytes  # what Numba knows about it besides, as Numba serializes it


_NUMBA_OPTIONS = [os.environ.get(f"NUMBA_{name}") for name in ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "OPT")]
PROCESSOR = repr(
    [
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        _NUMBA_OPTIONS,
    ]
)
"""What the code of all kernels depends on besides their sources."""


def kernel_path(name: str, kinds: Sequence[str]) -> Path | None:
    """Return where a kernel, by the names of its module and itself, is stored, or None if it cannot be."""
    module, _, function = name.partition(":")
    if _DIGESTS is None or module not in _DIGESTS:
        return None
    key = hashlib.sha256(repr((kinds, PROCESSOR)).encode()).hexdigest()[:16]
    return _kernel_folder(_DIGESTS[module]) / f"{module.rpartition('.')[2]}.{function}-{key}.kernel"


def load_kernel(name: str, kinds: tuple[str, ...]) -> StoredKernel | None:
    """Return what is stored of a kernel for these types of arguments, if anything is."""
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
    is_intact = hashlib.sha256(parts).hexdigest() == digest  # LLVM ends the process that loads other code
    return stored if is_intact and stored[:3] == (name, kinds, PROCESSOR) else None


def store_kernel(stored: StoredKernel) -> None:
    """Store a kernel, if it can be; the file is complete at any time."""
    path = kernel_path(stored.name, stored.kinds)
    if path is not None:
        partial = path.with_suffix(f".{secrets.token_hex(4)}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fields = stored._asdict()
            size, parts = len(stored.code), fields.pop("code") + fields.pop("numba")
            description = json.dumps(fields | {"size": size, "digest": hashlib.sha256(parts).hexdigest()}).encode()
            partial.write_bytes(description + b"\n" + parts)
            partial.replace(path)
