"""exp and tanh that LLVM can vectorise, for float32 and float64.

Both rest on e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2 (Cody and Waite, 1980): e^r - 1 is
its Taylor polynomial, 2^n is put together from exponent bits. tanh(x) = (e^{2x} - 1) / (e^{2x} + 1), with
e^{2x} - 1 = 2^n (e^r - 1) + (2^n - 1), which keeps its relative accuracy down to x = 0.
"""

import math
from decimal import Decimal
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from elman.engine.numba.options import in_order

_LN2 = Decimal("0.69314718055994530941723212145817656808")


def _make(dtype: Any, bits: Any, mantissa: int, bias: int, limit: float) -> tuple[Any, Any]:
    """The pair (exp, tanh) for one width; constants are of that width, or Numba would widen."""
    one, two, half = dtype(1), dtype(2), dtype(0.5)
    inverse_ln2 = dtype(1 / math.log(2))
    # ln 2 in two parts: n * high is exact, for |n| < 2^11, as high has that many trailing zero bits.
    high = dtype(math.floor(math.log(2) * 2 ** (mantissa - 11)) / 2 ** (mantissa - 11))
    low = dtype(float(_LN2 - Decimal(float(high))))
    c2, c3, c4, c5, c6, c7 = (dtype(1 / math.factorial(k)) for k in range(2, 8))
    c8, c9, c10, c11, c12, c13 = (dtype(1 / math.factorial(k)) for k in range(8, 14))
    exponent_bias, shift = bits(bias), bits(mantissa)
    largest = dtype(limit)
    saturated = dtype(mantissa)  # e^-mantissa is far below half a unit in the last place of 1
    double = dtype is np.float64

    @in_order
    def parts(x):
        n = np.floor(x * inverse_ln2 + half)
        r = (x - n * high) - n * low
        if double:
            tail = c8 + r * (c9 + r * (c10 + r * (c11 + r * (c12 + r * c13))))
            p = c3 + r * (c4 + r * (c5 + r * (c6 + r * (c7 + r * tail))))
        else:
            p = c3 + r * (c4 + r * (c5 + r * (c6 + r * c7)))
        power = bits((bits(n) + exponent_bias) << shift).view(dtype)
        return power, r + (r * r) * (c2 + r * p)

    @in_order
    def exp(x):
        x = -largest if x < -largest else (largest if x > largest else x)
        power, p = parts(x)
        return power + power * p

    @in_order
    def tanh(x):
        y = x + x
        y = -saturated if y < -saturated else (saturated if y > saturated else y)
        power, p = parts(y)
        e = power * p + (power - one)
        return e / (e + two)

    return exp, tanh


_exp32, _tanh32 = _make(np.float32, np.int32, 23, 127, 87.0)
_exp64, _tanh64 = _make(np.float64, np.int64, 52, 1023, 708.0)


def exp(x):
    """e^x, one of the two widths, with x clamped to where 2^n is a normal number."""
    return math.exp(x)


def tanh(x):
    """Hyperbolic tangent, one of the two widths."""
    return math.tanh(x)


@overload(exp, inline="always")
def _overload_exp(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))


@overload(tanh, inline="always")
def _overload_tanh(x):
    return (lambda x: _tanh32(x)) if x == types.float32 else (lambda x: _tanh64(x))
