"""The product of a tile by AMX: its code, on any processor; where there is AMX, `test_mixed_precision` runs it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from llvmlite import binding, ir

from elman.engine.numba import tile
from elman.engine.numba.simd import Address


def compile_tile() -> str:
    """Return the assembly of the function for a processor with AMX."""
    module = ir.Module()
    number, pairs, size = ir.FloatType(), ir.IntType(32), ir.IntType(64)
    there = [number, None, number, None, pairs, None, pairs, None, None, None, None]
    kinds = [size if each is None else each.as_pointer() for each in there]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    arguments = zip(function.args, there, strict=True)
    tile._emit_amx_tile(builder, *(value if kind is None else Address(value, kind) for value, kind in arguments))
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="sapphirerapids", features="+amx-tile,+amx-bf16")
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    return str(machine.emit_assembly(parsed))


@pytest.mark.skipif(binding.llvm_version_info < (20,), reason="this LLVM has no bfloat16")
def test_the_code_multiplies_in_registers_of_every_width() -> None:
    assembly = compile_tile()
    products = re.findall(r"tdpbf16ps\s+%tmm(\d), %tmm(\d), %tmm(\d)", assembly)
    assert sorted(int(c) for _, _, c in products) == sorted([3, 0, 3, 0, 1, 3, 0, 1, 2, 3])
    assert {a for _, a, _ in products} == {"4"}
    assert {b for b, _, c in products if c == "3"} == {"6"}
    assert {b for b, _, c in products if c != "3"} == {"5", "7"}
    assert assembly.count("ldtilecfg") == assembly.count("tilerelease") == 1


@pytest.mark.parametrize(("rows", "last_bytes"), [(1, 32), (16, 64)])
def test_a_configuration_has_the_shape_of_every_register(rows: int, last_bytes: int) -> None:
    data = bytes(tile._amx_configuration(rows, last_bytes))
    columns, lengths = np.frombuffer(data, np.uint16, 16, 16), np.frombuffer(data, np.uint8, 16, 48)
    assert len(data) == 64
    assert data[0] == 1
    assert columns.tolist() == [64, 64, 64, last_bytes, 64, 64, last_bytes, 64] + 8 * [0]
    assert lengths.tolist() == 5 * [rows] + 3 * [16] + 8 * [0]
