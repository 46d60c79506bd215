"""Plain mode: kernels compiled by Numba's public functions alone."""

import ast
import warnings
from pathlib import Path

import pytest

from elman import jit
from support.processes import run_in_a_process

PUBLIC = {"numba", "numba.extending", "numba.core.cgutils", "numba.core.event"}
"""Modules that Numba documents, among them those for the authors of extensions."""


REMEDY = "so kernels are compiled in plain mode, in every command again: install an older Numba"


@pytest.fixture(autouse=True)
def _not_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_PLAIN_JIT", raising=False)


def reason_of_plain_mode() -> str:
    """Return the warning; empty if kernels are not compiled in plain mode."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert jit.is_plain() == bool(seen)
    assert len(seen) <= 1
    return str(seen[0].message) if seen else ""


def test_kernels_are_not_compiled_in_plain_mode_by_default() -> None:
    assert reason_of_plain_mode() == ""


@pytest.mark.parametrize("package", ["numba", "llvmlite"])
def test_an_unknown_version_is_compiled_for_in_plain_mode(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(jit.NEWEST, package, (0, 43))
    reason = reason_of_plain_mode()
    assert reason.startswith(f"{package} 0.")
    assert reason.endswith(f" is newer than 0.43, {REMEDY}")
    monkeypatch.setattr("elman.jit.processor.version_file", lambda package: b"version = none")
    assert reason_of_plain_mode().startswith("numba of an unknown version is newer than 0.")


@pytest.mark.parametrize(("value", "plain"), [("1", True), ("0", False), ("", False)])
def test_plain_mode_is_chosen_without_a_warning(monkeypatch: pytest.MonkeyPatch, value: str, plain: bool) -> None:
    monkeypatch.setenv("ELMAN_PLAIN_JIT", value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jit.is_plain() is plain


CHANGED = """
import sys, warnings
import numba.core.typed_passes
del numba.core.typed_passes.NativeLowering
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import elman.jit
import numpy as np
from elman.ngram.kernels import set_logs
q, bits, powers, out = np.ones(2), np.zeros(2, np.int64), np.zeros(2), np.ones(2)
set_logs(q, bits, powers, out, 0)
announced = []
elman.compilation.COMPILATION.watchers.append(lambda: announced.append(set_logs))
for dtype in (np.float32, np.float64):
    elman.jit.kernel_pointer(set_logs, q.astype(dtype), bits, powers, out, 0)
print(elman.jit.PLAIN, len(seen), out.tolist(), len(announced), seen[0].message)
"""


def test_a_private_name_that_is_missing_leads_to_plain_mode(tmp_path: Path) -> None:
    for _ in range(2):  # also where something is in the cache
        printed = run_in_a_process(CHANGED, tmp_path)
        assert printed.startswith("True 1 [0.0, 0.0] 2 Numba's private names have changed (ImportError: cannot import")
        assert printed.endswith(
            "so kernels are compiled in plain mode, in every command again: install an older Numba\n"
        )


USED = """
import sys
import numpy as np
import elman
from elman.compilation import COMPILATION
from elman.engine import get_engine
from elman.network import Dropout, Optimizer, WeightDropout
from elman.testing import check_engine
engine = get_engine("numba")
def check(**network):
    result = check_engine(engine, **network)
    tolerance = 1e-10 if network.get("dtype", "float64") == "float64" else 1e-3
    errors = result.trajectory, result.session, result.loss, result.end, *result.gradients.values()
    assert np.max(errors) < tolerance, result
    assert result.same_counts
    assert result.same_text or tolerance > 1e-10
def optimized(name, clipping="norm", **more):
    return Optimizer(0.003, 1.0, name, clipping, **more)
dropout = dict(dropout=Dropout(0.3, False, 5), weight_dropout=WeightDropout(0.3, 5))
networks = [
    dict(),
    dict(cell="gru", batch_size=3, optimizer=optimized("adam")),
    dict(cell="gru", batch_size=3, optimizer=optimized("adamw", "value", **dropout), ngram_order=4),
    dict(cell="lstm", batch_size=3, optimizer=optimized("muon"), lines=True),
    dict(cell="gru", layers=2, batch_size=3, optimizer=optimized("muon"), dtype="float32"),
    dict(layers=2, batch_size=9, optimizer=optimized("rmsprop")),
    dict(cell="lstm", layers=2, batch_size=9, optimizer=optimized("adagrad")),
    dict(layers=2, batch_size=9, optimizer=optimized("sgd")),
]
everything = sys.argv[2] == "everything"
for network in networks if everything else networks[:2]:
    check(**network)
text = elman.Corpus.from_text("the cat sat on the mat. " * 400)
for preset in ("reference", "quick") if everything else ("reference",):
    run = elman.train(text, preset=preset, max_updates=20, progress=False, out=f"{sys.argv[1]}/{preset}")
    model = elman.load(f"{sys.argv[1]}/{preset}")
    assert len(model.sample(50, seed=1, top_k=3)) == 50
    assert np.isfinite(model.score("the cat sat on the mat.").nats_per_char)
    assert run.state.seconds < 10 < COMPILATION.seconds
print(*[each.__file__ for name, each in sys.modules.items() if name.startswith("elman.")], sep="\\n")
"""


@pytest.mark.slow  # compiles all kernels, each again in its callers; .ci/run has "some"
@pytest.mark.parametrize("which", ["some", "everything"])
def test_plain_mode_conforms_with_public_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setenv("ELMAN_PLAIN_JIT", "1")
    files = [Path(line) for line in run_in_a_process(USED, tmp_path, str(tmp_path), which).splitlines()]
    used = {file.parent.name + "." + file.stem for file in files}
    assert "jit.plain" in used
    assert not used & {"jit.compiler", "jit.lowering", "jit.runtime", "jit.cache", "jit.parallel"}
    assert set[str]().union(*map(names_of_numba, files)) <= PUBLIC
    assert not list(tmp_path.glob("kernels-*"))


def names_of_numba(file: Path) -> set[str]:
    """Return the modules of Numba that a module imports, and its names with underscores that it uses."""
    used = set[str]()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            used |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "numba.core":
            used |= {f"numba.core.{each.name}" for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used.add(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "numba":
            used.add(f"numba.{node.attr}" if node.attr.startswith("_") else "numba")
    return {name for name in used if name.split(".")[0] == "numba"}
