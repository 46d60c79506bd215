"""How kernels are compiled, and the directory in which they are stored."""

import ast
import ctypes
import platform
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import typeof
from numba.core.errors import NumbaError

from elman.jit import allocating_kernel, cache, compiled, kernel, processor
from elman.jit.cache import digest_sources, kernel_path, load_kernel, read_sources
from elman.jit.compiler import describe_type, read_types
from elman.jit.runtime import call_kernel, call_pointer, kernel_pointer, pack, record_kernels
from elman.ngram.kernels import set_logs
from support.processes import run_in_a_process


def test_every_constant_in_a_kernel_is_part_of_the_digest() -> None:
    sources = read_sources(TRAINING)
    imported = {module for source in sources.values() for module in _modules_of_constants(source)}
    assert {"elman.ngram.model", "elman.engine.numba.tile"} <= imported <= sources.keys()


TRAINING, SORTING = "elman.engine.numba.training", "elman.ngram.sorting"


def digests(*changes: tuple[str, str, str]) -> tuple[str, ...]:
    """Return the digests of training and sorting after replacements of text in modules."""
    found = []
    for module in (TRAINING, SORTING):
        sources = {name: source.decode() for name, source in read_sources(module).items()}
        for name, old, new in changes:
            if name in sources:
                assert old in sources[name]
                sources[name] = sources[name].replace(old, new, 1)
        found.append(digest_sources({name: source.encode() for name, source in sources.items()}))
    return tuple(found)


def test_a_kernel_is_compiled_again_if_code_that_it_imports_has_changed() -> None:
    training, sorting = digests()
    documented = (
        ("elman.network.optimizer", "MOMENTUM = 0.95  # mu,", "MOMENTUM = 0.95  # The symbol mu,"),
        (
            "elman.engine.numba.cells",
            '    """Overwrite the blocks',
            '    # A reason.\n\n    """Change the blocks',
        ),
    )
    assert digests(*documented) == (training, sorting)
    other_constant = digests(("elman.network.optimizer", "MOMENTUM = 0.95", "MOMENTUM = 0.9"))
    assert (other_constant[0] != training, other_constant[1]) == (True, sorting)
    other = digests((SORTING, "PIECE = 1 << 18", "PIECE = 1 << 17"))
    assert (other[0], other[1] != sorting) == (training, True)


SOURCES = (
    "def f(a): return a + 1",
    "def f(a): return a - 1",
    "def f(a): return a + 2",
    "def f(a): return a in {1, 2}",
    "def f(a): return a in {1, 3}",
    "def f(a): return a.b",
    "def f(a): return a.c",
    "def f(b): return b + 1",
    "def f(*a): return a + 1",
    "def f(a, b): return a + 1",
    "def f(a, *, b): return a + 1",
    "def f(a, b=1): return a + 1",
    "def f(a, b=2): return a + 1",
    "def g(a): return a + 1",
    "class A:\n def f(a): return a + 1",
    "class A:\n def f(a): return a + 2",
    "class B:\n def f(a): return a + 2",
    "def f(a):\n def g(b): return a + b\n return g(1)",
    "def f(a):\n def g(b): return a - b\n return g(1)",
    "def f(a):\n try: return a.b\n except A: return 1",
)


def test_the_digest_depends_on_all_code(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {digest_sources({module: text.encode()}) for module in ("elman.a", "elman.b") for text in SOURCES}
    monkeypatch.setattr(cache, "HAS_AMX", not processor.HAS_AMX)
    digests.add(digest_sources({"elman.a": SOURCES[0].encode()}))
    assert len(digests) == 2 * len(SOURCES) + 1


def _modules_of_constants(source: bytes) -> set[str]:
    """Return the modules of Elman from which a module imports constants at the top."""
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    constants = [node.module for node in statements if any(name.name.isupper() for name in node.names)]
    return {module for module in constants if module is not None and module.startswith("elman")}


class Pair(NamedTuple):
    numbers: Any
    others: Any


@kernel
def add(row: Any, other: Any) -> None:
    for i in range(min(len(row), len(other))):
        row[i] += other[i]


def counting(pair: Any, starts: Any) -> None:
    for start in starts:
        add(pair.numbers[start:], pair.others[:start])


def not_counting(pair: Any, starts: Any) -> None:
    for start in starts:
        add(pair.numbers[start:], pair.others[:start])


def listing(function: Any, *, allocates: bool) -> str:
    """Return the LLVM of a function as a kernel."""
    dispatcher = compiled(allocates=allocates)(function)
    pair = Pair(np.arange(3.0), np.ones(3))
    dispatcher(pair, np.array([1, 2]))
    assert pair.numbers.tolist() == [0.0, 2.0, 3.0]
    return "".join(dispatcher.inspect_llvm().values())


def test_a_kernel_counts_no_references() -> None:
    assert "NRT_incref" in listing(counting, allocates=True)
    assert "NRT_incref" not in listing(not_counting, allocates=False)


def test_a_kernel_that_creates_arrays_says_so() -> None:
    def allocating(numbers: Any) -> Any:
        return numbers.copy()[0]

    def not_allocating(numbers: Any) -> Any:
        return numbers.copy()[0]

    numbers = np.ones(2)
    assert compiled(allocates=True)(allocating)(numbers) == 1.0
    with pytest.raises(NumbaError, match="NRT"):
        compiled()(not_allocating)(numbers)


def test_a_kernel_returns_no_array_to_another_one() -> None:
    @allocating_kernel
    def reverse(numbers: Any) -> Any:
        return numbers[::-1], 0

    @allocating_kernel
    def first_reversed(numbers: Any) -> Any:
        return reverse(numbers)[0][0]

    with pytest.raises(TypeError, match="reverse returns an array to a kernel: it must be inlined"):
        first_reversed(np.arange(2.0))
    assert reverse(np.arange(2.0))[0].tolist() == [1.0, 0.0]


def test_a_kernel_that_counts_no_references_returns_no_array() -> None:
    @kernel
    def behind(numbers: Any) -> Any:
        return numbers[1:], 0

    @kernel
    def second(numbers: Any) -> Any:
        return behind(numbers)[0][0]

    for function in (behind, second):
        with pytest.raises(TypeError, match="behind returns an array, but counts no references: it must be inlined"):
            function(np.arange(2.0))


class Scaled(NamedTuple):
    numbers: np.ndarray
    scale: float


@kernel
def multiply(pair, n):  # type: ignore[no-untyped-def]
    for i in range(n):
        pair.numbers[i] *= pair.scale


@kernel
def multiply_twice(pointer, pair, n):  # type: ignore[no-untyped-def]
    for _ in range(2):
        call_pointer(pointer, (pair, n))


def test_the_kernel_is_called() -> None:
    pair = Scaled(np.arange(4.0), 3.0)
    multiply_twice(kernel_pointer(multiply, pair, 2), pair, 3)
    assert pair.numbers.tolist() == [0.0, 9.0, 18.0, 3.0]


def test_other_types_of_arguments_are_an_error() -> None:
    pair = Scaled(np.arange(4.0), 3.0)
    pointer = kernel_pointer(multiply, pair, 3)
    single = Scaled(np.arange(4, dtype=np.float32), 3.0)
    with pytest.raises(TypeError, match="of types that it is not compiled for"):
        multiply_twice(pointer, single, 3)
    assert single.numbers.tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(("has_feature", "status", "expected"), [(False, 0, False), (True, -1, False), (True, 0, True)])
def test_amx_needs_the_processor_and_the_permission_of_linux(
    monkeypatch: pytest.MonkeyPatch, has_feature: bool, status: int, expected: bool
) -> None:
    class Library:
        def syscall(self, *arguments: int) -> int:
            assert arguments == (158, 0x1023, 18)
            return status

    monkeypatch.setattr(processor, "has_feature", lambda name: has_feature and name == "amx-bf16")
    monkeypatch.setattr("elman.jit.processor.binding.llvm_version_info", (20, 1, 8))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert processor._may_use_amx() is expected


@kernel
def double(numbers: Any) -> None:
    for i in range(len(numbers)):
        numbers[i] *= 2


@kernel
def double_twice(numbers: Any) -> None:
    double(numbers)
    double(numbers)


@kernel
def pass_on(numbers: Any, whole: Any, unsigned: Any, single: Any, is_set: Any, nothing: Any) -> Any:
    return (len(numbers), whole), numbers[0], whole < 0, unsigned, single, is_set, nothing


@kernel
def swap(pair: Any) -> Any:
    return Pair(pair.others, pair.numbers)


def test_a_named_tuple_is_returned_as_one() -> None:
    assert swap(Pair(1, 2.5)) == Pair(2.5, 1)
    assert type(swap(Pair(1, 2.5))) is Pair


def test_arguments_and_results_are_those_of_python() -> None:
    numbers = np.array([0.5, 2.0])[::-1]
    numbers.flags.writeable = False
    given = -7, np.uint64(2**64 - 1), np.float32(0.1), np.bool_(True), None
    whole, unsigned, single, is_set, nothing = given
    result = pass_on(numbers, *given)
    assert result == ((2, whole), 2.0, True, unsigned, single, is_set, nothing)
    assert [type(each) for each in result] == [tuple, float, bool, int, float, bool, type(None)]


def test_a_type_is_described_as_its_values_are() -> None:
    matrix = np.zeros((2, 3), np.float32)
    arrays = matrix, matrix.T, matrix[:, 1:], np.zeros(2, np.bool_), np.zeros((1, 1, 1), np.uint16)
    values = *arrays, Pair(matrix, (1, None)), (1, 2), (1, 2.0), True, np.int32(1), Pair(1, 2)
    kinds = pack(*values).kinds
    types = tuple(map(typeof, values))
    assert (tuple(map(describe_type, types)), read_types(kinds)) == (kinds, types)


def test_a_kernel_has_no_copy_of_those_it_calls() -> None:
    """Their code would be optimized again in each of their callers."""

    @kernel
    def double_thrice(numbers: Any) -> None:  # never stored, as no module has it: its code is that of this process
        double(numbers)
        double(numbers)
        double(numbers)

    double_thrice(np.arange(3.0))
    (code,) = double_thrice.inspect_llvm().values()
    assert re.search(r"declare .*test_compiler.*double", code)
    assert not re.search(r"define .*test_compiler6double", code)


LOAD = """
import sys
import numpy as np
from elman.apps.compress.exact_network import gru_step
a, h = np.ones((2, 6), np.float32), np.zeros((2, 2), np.float32)
gru_step(a, a.copy(), h.copy(), h)
print(h[0, 0], "numba" in sys.modules)
"""


def test_a_stored_kernel_is_loaded_with_those_it_calls_and_without_numba(tmp_path: Path) -> None:
    printed = []
    for _ in range(4):
        printed.append(run_in_a_process(LOAD, tmp_path))
        if len(printed) == 2:  # the third process compiles it again, for what the first has stored
            next(tmp_path.rglob("*.set_gru_output-*.kernel")).unlink()
    value, _ = printed[0].split()
    assert [each.split() for each in printed] == [[value, str(compiles)] for compiles in (True, False, True, False)]


def test_recorded_kernels_are_not_called() -> None:
    numbers = np.arange(3.0)
    with record_kernels() as kernels:
        pointer = kernel_pointer(double, numbers)
        call_kernel(double_twice, numbers)
    assert [each.py_func.__name__ for each, _ in kernels] == ["double", "double_twice"]
    assert (pointer.address, numbers.tolist()) == (0, [0.0, 1.0, 2.0])
    call_kernel(double_twice, numbers)
    assert numbers.tolist() == [0.0, 4.0, 8.0]


def test_each_signature_is_stored_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for dtype in (np.float32, np.float64):
        kinds = pack(np.zeros(1), np.zeros(1, np.int64), *[np.zeros(1, dtype)] * 2, 0).kinds
        set_logs.dispatcher.compile(read_types(kinds))
        path = kernel_path(set_logs.name, kinds)
        assert path is not None
        paths.append(path)
        assert (load_kernel(set_logs.name, kinds) is None, set_logs.is_missing(kinds)) == (False, False)
        stored = path.read_bytes()
        for damaged in (stored[:100], stored[:-1], stored[:-9] + bytes(9)):
            path.write_bytes(damaged)
            assert load_kernel(set_logs.name, kinds) is None
        path.write_bytes(stored)
    found = {*paths}
    for name, other in (("PROCESSOR", "another"), ("_VERSIONS", ["another"])):
        monkeypatch.setattr(cache, name, other)
        found |= {path for path in [kernel_path(set_logs.name, kinds)] if path is not None}
    assert len(found) == 4
