"""``elman gradcheck``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from elman.cli.commands import CHECK_FAILED, print_results
from elman.cli.parameters import Corpora, Encoding, Flag, Integer, Json, KeepCrlf, Name, OptionalInteger, Quiet
from elman.engine_registry import DEFAULT_ENGINE, ENGINES
from elman.errors import join_alternatives
from elman.network.cells import cell_help


def gradcheck(
    *corpus: Corpora,
    hidden_size: OptionalInteger = None,
    seq_length: OptionalInteger = None,
    points: OptionalInteger = None,
    cell: Annotated[Name, Parameter(help=cell_help())] = "rnn",
    layers: Integer = 1,
    ngram_order: Integer = 0,
    lines: Flag = False,
    full: Flag = False,
    zero_state: Flag = False,
    engine: Annotated[
        Name, Parameter(help=f"Engine whose gradients are checked: {join_alternatives([*ENGINES])}.")
    ] = DEFAULT_ENGINE,
    seed: Integer = 400,
    encoding: Encoding = "utf-8",
    keep_crlf: KeepCrlf = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Check every gradient against central differences.

    Without sizes, it runs the three checks of the reference experiment. Without CORPUS, it uses python-docs.

    Parameters
    ----------
    hidden_size
        Hidden units of a single check. [default: 100]
    seq_length
        Sequence length of a single check. [default: 25]
    points
        Characters of a single check, read in complete sequences. [default: one sequence]
    layers
        Number of stacked recurrent layers.
    ngram_order
        Order of the n-gram prior; 0 checks a network without one.
    lines
        Reset the state at every line feed, as train --lines does.
    full
        Check every weight, instead of 256 random weights of each array.
    zero_state
        Start from a hidden state of zeros, as the course report did.
    seed
        Random seed of weights and hidden state.
    """
    passed_on = {name: value for name, value in locals().items() if name not in ("corpus", "quiet", "as_json")}
    from elman.cli.display import show_gradient_checks, show_progress
    from elman.testing.gradcheck import gradcheck

    with show_progress("checking gradients", 1, quiet=quiet or as_json) as show:
        checks = gradcheck(list(corpus) or "python-docs", on_progress=show, **passed_on)
    passed = all(check.passed for check in checks)
    results = {"experiments": [asdict(check) for check in checks], "passed": passed}
    print_results(results, as_json, lambda _: show_gradient_checks(checks))
    return 0 if passed else CHECK_FAILED
