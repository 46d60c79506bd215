"""Calls of a compiled kernel from another one by its address.

Numba compiles a kernel that another one calls once more, as a part of the caller. That takes seconds for a long one, so
such a kernel is compiled by itself and called by address.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
from llvmlite import ir
from numba.core import cgutils, types

from elman.engine.numba.compiler import intrinsic

_typeof: Any = numba.typeof  # neither has annotations
_unpack_tuple: Any = cgutils.unpack_tuple


class KernelPointer(NamedTuple):
    """The address of a kernel that is compiled for certain types of arguments."""

    address: int
    digest: int  # of these types


def _digest(kinds: Sequence[Any]) -> int:
    """Return a number that depends on types, and is the same in every process."""
    names = ", ".join(str(kind) for kind in kinds)
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:7], "little")


def kernel_pointer(kernel: Any, *arguments: object) -> KernelPointer:
    """Return a pointer to a kernel, compiled for the types of these arguments if it is not yet."""
    kinds = tuple(_typeof(argument) for argument in arguments)
    kernel.compile(kinds)
    result = kernel.overloads[kinds]
    return KernelPointer(result.library.get_pointer_to_function(result.fndesc.llvm_func_name), _digest(kinds))


@intrinsic
def call_pointer(typingctx: Any, pointer: Any, arguments: Any) -> tuple[Any, Callable[..., Any]]:
    """Call a kernel that returns nothing with a tuple of arguments, which must have the types of its pointer."""
    kinds = tuple(arguments)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, digest = _unpack_tuple(builder, values[0])
        is_other = builder.icmp_unsigned("!=", digest, ir.Constant(digest.type, _digest(kinds)))
        with builder.if_then(is_other, likely=False):
            message = "a kernel is called with arguments of other types than it is compiled for"
            context.call_conv.return_user_exc(builder, TypeError, (message,))
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(address, kind.as_pointer())
        status, _ = context.call_conv.call_function(
            builder, function, types.none, kinds, _unpack_tuple(builder, values[1])
        )
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(pointer, arguments), emit
