"""Operations on LLVM vectors, in which the inner loops of the compiled kernels are written.

LLVM's loop vectorizer does well on long arrays; the rows of a small network are a dozen vectors, where its checks,
remainder loops and memory traffic cost as much as the arithmetic. Therefore the inner loops are written as vector
operations. They are portable: LLVM lowers a vector of 32 bytes to one AVX register or to two NEON registers, and a
multiply followed by an add (flag ``contract``) to a fused multiply-add where the processor has one.

If the processor has registers of 64 bytes (AVX-512), two adjacent vectors are computed as one. This changes no bit of a
result: a lane is computed as in a vector of 32 bytes, and a sum over the lanes adds the lanes of a vector of 32 bytes,
whatever the registers are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numpy.typing import NDArray

from elman.jit import cgutils
from elman.jit.processor import has_feature, pointer_to

BYTES = 32
"""Bytes of a vector: 8 float32 or 4 float64. Padded rows are a multiple of it."""
CACHE_LINE = 64
"""Bytes of a cache line."""

REGISTER_BYTES = 2 * BYTES if has_feature("avx512f") else BYTES
"""Bytes of the largest vector register of the processor, at least `BYTES`."""
HAS_BFLOAT16 = has_feature("avx512bf16") and binding.llvm_version_info >= (20,)
"""Whether the processor multiplies pairs of bfloat16 and adds the products in float32, and LLVM has bfloat16: LLVM 15,
in Numba 0.61, has the instruction for integers."""


class _BFloat16(ir.types.Type):  # type: ignore[misc]
    """LLVM's type bfloat, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


_INT = ir.IntType(32)
_LN2 = Decimal("0.69314718055994530941723212145817656808")


def aligned_zeros(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return n zeros that begin on a cache line, so that no vector crosses one."""
    raw = np.zeros(n * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + n * dtype.itemsize].view(dtype)


class Address(NamedTuple):
    """A pointer, and the type of the value there, which LLVM's own pointers do not contain."""

    pointer: Any
    kind: Any

    def add(self, builder: Any, n: Any) -> "Address":
        """The address behind n elements."""
        return Address(builder.gep(self.pointer, [n], source_etype=self.kind), self.kind)

    def cast(self, builder: Any, kind: Any) -> "Address":
        """The same address for another type."""
        return Address(builder.bitcast(self.pointer, pointer_to(kind)), kind)

    def load(self, builder: Any) -> Any:
        """Load the value at the address."""
        return builder.load(self.pointer, typ=self.kind)


def call_function(builder: Any, name: str, arguments: Sequence[Any], emit: Callable[..., None]) -> None:
    """Call the LLVM function `name`; `emit(builder, *arguments)` appends its body if the module has none yet.

    An argument that is an `Address` is an `Address` in the body, too.

    It is never inlined: a copy of its loops at every call would multiply the compile time.
    """
    module, values = builder.module, [each.pointer if isinstance(each, Address) else each for each in arguments]
    if name not in module.globals:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        function = ir.Function(module, kind, name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        body = ir.IRBuilder(function.append_basic_block("entry"))
        pairs = zip(arguments, function.args, strict=True)
        emit(body, *(each._replace(pointer=value) if isinstance(each, Address) else value for each, value in pairs))
        body.ret_void()
    builder.call(module.globals[name], values)


def emit_prefetch(builder: Any, address: Address) -> None:
    """Emit an instruction that brings the cache line at an address into the first-level cache, to be read."""
    for_reading, keep_in_all_caches, is_data = 0, 3, 1
    byte, number = address.cast(builder, ir.IntType(8)).pointer, ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    arguments = [number(n) for n in (for_reading, keep_in_all_caches, is_data)]
    builder.call(function, [byte, *arguments])


class Simd:
    """Vector operations that one builder appends, for one element type and vectors of `size` bytes."""

    def __init__(self, builder: Any, element: Any, size: int = BYTES) -> None:
        self.builder, self.element = builder, element
        self.single = isinstance(element, ir.FloatType)
        self.bytes = 4 if self.single else 8
        self.lanes = size // self.bytes
        self.type = ir.VectorType(element, self.lanes)

    def constant(self, value: float) -> Any:
        """A vector with `value` in every lane."""
        return ir.Constant(self.type, [value] * self.lanes)

    def address(self, start: Address, stride: Any, row: int, column: int = 0) -> Address:
        """The address in row `row` behind `column` vectors of `BYTES`."""
        offset = self.builder.mul(stride, stride.type(row))
        offset = self.builder.add(offset, stride.type(column * (BYTES // self.bytes)))
        return start.add(self.builder, offset).cast(self.builder, self.type)

    def vector(self, start: Address, index: Any) -> Address:
        """The address behind `index` vectors of `BYTES` in a row."""
        offset = self.builder.mul(index, index.type(BYTES // self.bytes))
        return start.add(self.builder, offset).cast(self.builder, self.type)

    def load(self, address: Address) -> Any:
        """Load a vector from an unaligned address."""
        value = address.load(self.builder)
        value.align = self.bytes
        return value

    def store(self, value: Any, address: Address) -> None:
        """Store a vector to an unaligned address."""
        self.builder.store(value, address.pointer).align = self.bytes

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """Select lanes by index: lanes of x, and from `self.lanes` on lanes of y."""
        mask = ir.Constant(ir.VectorType(_INT, self.lanes), lanes)
        return self.builder.shuffle_vector(x, y, mask)

    def split(self, x: Any) -> list[Any]:
        """Return the vectors of `BYTES` that a vector consists of."""
        lanes = BYTES // self.bytes
        masks = [
            ir.Constant(ir.VectorType(_INT, lanes), [*range(first, first + lanes)])
            for first in range(0, self.lanes, lanes)
        ]
        return [self.builder.shuffle_vector(x, x, mask) for mask in masks]

    def broadcast(self, scalar: Any) -> Any:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _INT(0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return self.builder.fadd(x, y, flags=["contract"])

    def sub(self, x: Any, y: Any) -> Any:
        """x - y."""
        return self.builder.fsub(x, y, flags=["contract"])

    def mul(self, x: Any, y: Any) -> Any:
        """x y."""
        return self.builder.fmul(x, y, flags=["contract"])

    def muladd(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, fused if the processor can."""
        return self.add(self.mul(x, y), z)

    def muladd_pairs(self, x: Any, y: Any, z: Any) -> Any:
        """x_0 y_0 + x_1 y_1 + z, where each lane of x and y holds two bfloat16, the first one in its lower half."""
        if not HAS_BFLOAT16:
            (x_0, x_1), (y_0, y_1) = self._split_pairs(x), self._split_pairs(y)
            return self.muladd(x_1, y_1, self.muladd(x_0, y_0, z))
        pairs = ir.VectorType(_BFloat16(), 2 * self.lanes)
        kind = ir.FunctionType(self.type, [self.type, pairs, pairs])
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [z, *(self.builder.bitcast(each, pairs) for each in (x, y))])

    def _split_pairs(self, x: Any) -> tuple[Any, Any]:
        """The two bfloat16 of each lane, as float32."""
        integers = ir.VectorType(_INT, self.lanes)
        bits = self.builder.bitcast(x, integers)
        low = self.builder.shl(bits, ir.Constant(integers, [16] * self.lanes))
        high = self.builder.and_(bits, ir.Constant(integers, [0xFFFF0000] * self.lanes))
        return self.builder.bitcast(low, self.type), self.builder.bitcast(high, self.type)

    def round_pairs(self, low: Any, high: Any) -> Any:
        """Pairs of x and y rounded to the nearest bfloat16, the first one in the lower half of each lane."""
        integers = ir.VectorType(_INT, self.lanes)

        def constant(bits: int) -> Any:
            return ir.Constant(integers, [bits] * self.lanes)

        def round_up(x: Any) -> Any:
            bits = self.builder.bitcast(x, integers)
            last = self.builder.and_(self.builder.lshr(bits, constant(16)), constant(1))
            return self.builder.add(bits, self.builder.add(last, constant(0x7FFF)))

        low = self.builder.lshr(round_up(low), constant(16))
        high = self.builder.and_(round_up(high), constant(0xFFFF0000))
        return self.builder.bitcast(self.builder.or_(low, high), self.type)

    def minimum(self, x: Any, y: Any) -> Any:
        """The smaller of x and y, lane by lane; x if x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, y), y, x)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of x and y, lane by lane; x if x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, y), y, x)

    def _unary(self, name: str, x: Any, flags: tuple[str, ...] = ()) -> Any:
        """An intrinsic function of LLVM."""
        function_type = ir.FunctionType(self.type, [self.type])
        name = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}"
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, [x], fastmath=flags)

    def div_sqrt(self, x: Any, y: Any) -> Any:
        """x / sqrt(y) within 2 ulp; a reciprocal estimate and a Newton step if the processor has the estimate.

        Estimates exist for float32 only, and a vector of 64 bytes has different ones than a vector of `BYTES`.
        """
        assert not self.single or self.lanes * self.bytes == BYTES
        flags = ("reassoc", "nsz", "arcp", "contract", "afn")
        return self.builder.fdiv(x, self._unary("sqrt", y, flags), flags=flags)

    def transpose(self, rows: list[Any]) -> list[Any]:
        """The transpose of a square matrix, given as one vector per row.

        First within 16 bytes, where shuffles are cheapest: interleaving the first half of w rows with the second,
        log2(w) times, transposes each block of w x w elements in place. Then the blocks are exchanged.
        """
        n, w = self.lanes, 16 // self.bytes
        low, high = (
            [block + half * w // 2 + k // 2 + (k % 2) * n for block in range(0, n, w) for k in range(w)]
            for half in range(2)
        )
        groups = [rows[:w], rows[w:]]
        for _ in range(w.bit_length() - 1):
            halves = [list(zip(group[: w // 2], group[w // 2 :], strict=True)) for group in groups]
            groups = [[self.shuffle(x, y, lanes) for x, y in pairs for lanes in (low, high)] for pairs in halves]
        blocks = [[half * w + k for k in range(w)] + [n + half * w + k for k in range(w)] for half in range(2)]
        return [self.shuffle(x, y, lanes) for lanes in blocks for x, y in zip(*groups, strict=True)]

    def reduce(self, combine: Any, x: Any) -> Any:
        """Reduce all lanes to a scalar with `combine`, halving the vector until one lane is left."""
        half = self.lanes
        while half > 1:
            half //= 2
            x = combine(x, self.shuffle(x, x, [(lane + half) % self.lanes for lane in range(self.lanes)]))
        return self.builder.extract_element(x, _INT(0))

    def exp(self, x: Any) -> Any:
        """e^x; 0 if it would be subnormal, and at most e^87 (float32) or e^708 (float64).

        Cody and Waite (1980): e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2. 2^n is assembled from
        exponent bits; e^r - 1 is its Taylor polynomial.
        """
        limit = 87.0 if self.single else 708.0
        power, p = self._split_exp(self.minimum(self.maximum(x, self.constant(-limit)), self.constant(limit)))
        tiny = self.builder.fcmp_ordered("<", x, self.constant(-limit))
        return self.builder.select(tiny, self.constant(0.0), self.muladd(power, p, power))

    def tanh(self, x: Any) -> Any:
        """tanh(x) = (e^{2x} - 1) / (e^{2x} + 1).

        e^{2x} - 1 = 2^n (e^r - 1) + (2^n - 1) keeps its relative accuracy down to x = 0. Beyond the bounds the
        result is exactly 1.
        """
        bound = self.constant(20.0 if self.single else 40.0)
        y = self.maximum(self.minimum(self.add(x, x), bound), self.builder.fneg(bound))
        power, p = self._split_exp(y)
        e = self.muladd(power, p, self.sub(power, self.constant(1.0)))
        return self.builder.fdiv(e, self.add(e, self.constant(2.0)), flags=["arcp"])

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + e^-x)."""
        one = self.constant(1.0)
        return self.builder.fdiv(one, self.add(one, self.exp(self.builder.fneg(x))), flags=["arcp"])

    def _split_exp(self, x: Any) -> tuple[Any, Any]:
        """2^n and e^r - 1, whose combination is e^x."""
        mantissa, bias, degree = (23, 127, 7) if self.single else (52, 1023, 13)
        n = self._unary("floor", self.muladd(x, self.constant(1 / math.log(2)), self.constant(0.5)))
        # ln 2 in two parts: the first ends in 11 zero bits, so that its product with n is exact.
        high = math.floor(math.log(2) * 2 ** (mantissa - 11)) / 2 ** (mantissa - 11)
        low = float(_LN2 - Decimal(high))
        r = self.muladd(n, self.constant(-low), self.muladd(n, self.constant(-high), x))
        p = self.constant(1 / math.factorial(degree))
        for k in range(degree - 1, 1, -1):
            p = self.muladd(p, r, self.constant(1 / math.factorial(k)))
        p = self.muladd(self.mul(r, r), p, r)
        integers = ir.VectorType(ir.IntType(8 * self.bytes), self.lanes)
        bias, mantissa = (ir.Constant(integers, [number] * self.lanes) for number in (bias, mantissa))
        exponent = self.builder.add(self.builder.fptosi(n, integers), bias)
        return self.builder.bitcast(self.builder.shl(exponent, mantissa), self.type), p


def row_loops(builder: Any, element: Any, vectors: Any, size: int = REGISTER_BYTES) -> Iterator[tuple[Simd, Any]]:
    """Emit the loops over a row of `vectors` vectors of `BYTES`, and yield the operations and the index of each.

    The first loop processes as many vectors at once as `size` bytes hold, the second processes the remaining vectors.
    The index is the index of the first of these vectors. Code that is emitted while the generator is suspended is the
    body of the loop.
    """
    at_once, done = size // BYTES, vectors.type(0)
    if at_once > 1:
        count = builder.udiv(vectors, vectors.type(at_once))
        with cgutils.for_range(builder, count) as loop:
            yield Simd(builder, element, size), builder.mul(loop.index, vectors.type(at_once))
        done = builder.mul(count, vectors.type(at_once))
    with cgutils.for_range(builder, builder.sub(vectors, done)) as loop:
        yield Simd(builder, element), builder.add(done, loop.index)
