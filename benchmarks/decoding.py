"""Character error rates of CTC decoding with KenLM and with a network, on lines whose CTC output is synthetic.

python benchmarks/decoding.py LINES SYSTEM… [--out decoding.json] [--dev 300] [--test 1500] [--thresholds 8 15]
python benchmarks/decoding.py LINES --out decoding.json --baseline kenlm=FILE   # the table

LINES is a file of lines that no language model has seen; those of 15 to 45 characters are used, each once. A SYSTEM is

    none              no language model
    elman=RUN         a model of independent lines in the beam of `elman.decode_batch`
    elman=RUN,RUN,…   networks with several seeds, each with its weights: the mean of their errors in each line
    kenlm=FILE        KenLM in the same beam
    flashlight=FILE   KenLM in flashlight-text, lexicon-free, with a bonus for every frame that is not a blank
    rescore=RUN,FILE  `elman.rescore` of what kenlm=FILE finds, the best 50

Every character of a line is one frame and the gap after it another. 25 % of the characters have a confusable one as the
most likely symbol, 4 % are lost, and 4 % of the gaps have a spurious one. alpha and beta are chosen for each system on
the development lines, by `elman.choose_weights`. Intervals are of 10,000 bootstrap samples of the test lines, paired.
Milliseconds are of the processor. A summary is added to the stored results. KenLM is compiled for order 12 with its
Python module, and counts characters:

    sed 's/ /|/g; s/./& /g' TRAIN | lmplz -o 12 --prune 0 1 --discount_fallback > FILE
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import elman
from elman.apps.decode import edit_distance, search_weights
from elman.apps.decode.ctc import SearchOptions
from speed import machine

LENGTHS = range(15, 46)
SAMPLES, QUANTILES = 10_000, (0.025, 0.975)
START = 0.5, 2.5
"""The first alpha and beta, and those with which the texts are found that are rescored."""
NATS_PER_LOG10 = math.log(10)

Item = tuple[str, np.ndarray]
"""A line, and its log-probabilities."""
Decode = Callable[[Sequence[np.ndarray], float, float], list[str]]
RESULTS = Path(__file__).parent / "results" / "decoding.json"


def make_frames(line: str, symbols: str, rng: np.random.Generator) -> np.ndarray:
    """Return synthetic log-probabilities (T, K + 1) of a line; the last symbol is the blank."""
    blank, frames = len(symbols), []
    confusable = np.random.default_rng(7).permuted(np.tile(np.arange(blank), (blank, 1)), axis=1)[:, :5]

    def add(rest: float, *peaks: tuple[int, float]) -> None:
        p = rng.dirichlet(np.full(blank + 1, 0.3)) * rest
        for k, share in peaks:
            p[k] += share * (1 - rest)
        frames.append(p / p.sum())

    for character in line:
        k = symbols.index(character)
        wrong, other = rng.choice(confusable[k], 2)
        kind = rng.random()
        if kind < 0.25:
            add(0.25, (wrong, 0.55), (other, 0.25), (k, 0.12), (blank, 0.08))
        elif kind < 0.29:
            add(0.25, (blank, 0.7), (wrong, 0.2), (k, 0.1))
        else:
            add(0.25, (k, 0.5), (wrong, 0.3), (other, 0.12), (blank, 0.08))
        if rng.random() < 0.04:
            add(0.15, (blank, 0.4), (int(rng.integers(blank)), 0.6))
        else:
            add(0.05, (blank, 1.0))
    return np.log(np.array(frames) + 1e-12)


class KenlmStates(list[Any]):
    """KenLM's states after several prefixes, as `elman.network.state.State` is used."""

    def select(self, rows: Sequence[int]) -> KenlmStates:
        return KenlmStates(self[row] for row in rows)

    def set_rows(self, rows: Sequence[int], other: KenlmStates) -> None:
        for row, state in zip(rows, other, strict=True):
            self[row] = state


class KenlmModel:
    """What `elman.decode_ctc` needs of a model of independent lines."""

    is_of_lines = True

    def __init__(self, path: str, symbols: str) -> None:
        import kenlm

        self.module, self.model = kenlm, kenlm.Model(path)
        self.names = [*kenlm_names(symbols), "</s>"]
        self.alphabet = SimpleNamespace(characters=symbols + "\n", has_unknown=False, start_char="\n")

    def start(self) -> KenlmStates:
        return KenlmStates([None])

    def step(self, states: KenlmStates, x: Any) -> tuple[KenlmStates, np.ndarray]:
        """See `elman.model.Model.step`."""
        after, unused = KenlmStates(self.module.State() for _ in states), self.module.State()
        for before, k, state in zip(states, x, after, strict=True):
            if before is None:
                self.model.BeginSentenceWrite(state)
            else:
                self.model.BaseScore(before, self.names[k], state)
        log10_p = [[self.model.BaseScore(state, name, unused) for name in self.names] for state in after]
        return after, np.array(log10_p) * NATS_PER_LOG10


def kenlm_names(symbols: str) -> list[str]:
    return ["|" if each == " " else each for each in symbols]


def flashlight_decoder(path: str, symbols: str, width: int) -> Decode:
    """Return a function that decodes with flashlight-text's own KenLM, which has order 6, or with Python's."""
    from flashlight.lib.text import decoder as flashlight
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    names = kenlm_names(symbols)
    blank, model = len(names), KenlmModel(path, symbols)

    class LM(flashlight.LM):  # type: ignore[misc]
        """KenLM of any order; flashlight-text keeps no reference to what is made in Python."""

        def __init__(self) -> None:
            flashlight.LM.__init__(self)
            self.states: dict[Any, Any] = {}

        def start(self, start_with_nothing: bool) -> Any:
            state = flashlight.LMState()
            self.states = {state: (model.step(model.start(), "\n")[0][0], 0.0)}
            return state

        def score(self, state: Any, token: int) -> tuple[Any, float]:
            child = state.child(token)
            if child not in self.states:
                after = model.module.State()
                self.states[child] = after, model.model.BaseScore(self.states[state][0], model.names[token], after)
            return child, self.states[child][1]

        def finish(self, state: Any) -> tuple[Any, float]:
            return self.score(state, len(model.names) - 1)

    lm = KenLM(path, Dictionary([*names, "<blank>"])) if model.model.order <= 6 else LM()

    def decode(lines: Sequence[np.ndarray], alpha: float, beta: float) -> list[str]:
        options = flashlight.LexiconFreeDecoderOptions(
            beam_size=width, beam_size_token=15, beam_threshold=25, lm_weight=alpha * NATS_PER_LOG10, sil_score=0.0,
            log_add=True, criterion_type=flashlight.CriterionType.CTC,
        )  # fmt: skip
        search = flashlight.LexiconFreeDecoder(options, lm, names.index("|"), blank, [])
        texts = []
        for frames in lines:
            emissions = np.ascontiguousarray(frames + beta * (np.arange(blank + 1) != blank), np.float32)
            path = search.decode(emissions.ctypes.data, *emissions.shape)[0].tokens[1:-1]
            merged = (k for k, before in zip(path, [-1, *path], strict=False) if k != before)
            texts.append("".join(symbols[k] for k in merged if k != blank))
        return texts

    return decode


def make_decoder(system: str, symbols: str, options: SearchOptions) -> Decode:
    """Return a function of the log-probabilities of lines, alpha and beta."""
    kind, _, argument = system.partition("=")
    if kind == "flashlight":
        return flashlight_decoder(argument, symbols, options["width"])
    path, _, ranked_by = argument.partition(",")
    lm: Any = None if kind == "none" else KenlmModel(path, symbols) if kind == "kenlm" else elman.load(path)
    names = [*symbols, ""]
    if kind == "rescore":
        first, first_pass = KenlmModel(ranked_by, symbols), options.copy()
        first_pass["alpha"], first_pass["beta"] = START

        def rescore(lines: Sequence[np.ndarray], alpha: float, beta: float) -> list[str]:
            found = elman.decode_batch(lines, names, first, nbest=options["width"], **first_pass)
            return [elman.rescore(nbest, lm, alpha=alpha, beta=beta)[0].text for nbest in found]

        return rescore

    def decode(lines: Sequence[np.ndarray], alpha: float, beta: float) -> list[str]:
        weights: SearchOptions = {**options, "alpha": alpha, "beta": beta}
        found = elman.decode_batch(lines, names, lm, **weights)
        return [best.text for best, *_ in found]

    return decode


def count_errors(decode: Decode, items: Sequence[Item], alpha: float, beta: float) -> list[int]:
    texts = decode([frames for _, frames in items], alpha, beta)
    return [edit_distance(line, text) for (line, _), text in zip(items, texts, strict=True)]


def choose_weights(decode: Decode, items: Sequence[Item]) -> tuple[float, float]:
    """Return the alpha and beta with the fewest errors, by the search of `elman.choose_weights`."""
    known: dict[tuple[float, float], int] = {}

    def count(alpha: float, beta: float) -> int:
        weights = alpha, beta
        if weights not in known:
            known[weights] = sum(count_errors(decode, items, *weights)) if weights[0] > 0 else sys.maxsize
            print("  alpha {:.2f}, beta {:.2f}: {} errors".format(*weights, known[weights]), flush=True)
        return known[weights]

    return search_weights(count, *START)


def read_lines(path: str, count: int) -> tuple[str, list[str]]:
    """Return the symbols, and lines in random order."""
    lines = Path(path).read_text("utf-8").split("\n")
    symbols = "".join(sorted({*"".join(lines)}))
    lines = [line for line in dict.fromkeys(lines) if len(line) in LENGTHS]
    return symbols, [lines[n] for n in np.random.default_rng(1).permutation(len(lines))[:count]]


def summarize(results: dict[str, Any], baseline: str) -> dict[str, dict[str, Any]]:
    """Return the errors of every system, and how many fewer they are than those of the baseline, with intervals."""
    chars = np.array(results["chars"])
    samples = np.random.default_rng(0).integers(len(chars), size=(SAMPLES, len(chars)))
    errors = {name: np.array(each["errors"]) for name, each in results["systems"].items()}
    totals = {name: each[samples].sum(axis=1) for name, each in errors.items()}
    return {
        name: {
            **{key: each[key] for key in ("alpha", "beta", "milliseconds")},
            "rate": errors[name].sum() / chars.sum(),
            "rate_interval": [*np.quantile(totals[name] / chars[samples].sum(axis=1), QUANTILES)],
            "fewer": 1 - errors[name].sum() / errors[baseline].sum(),
            "fewer_interval": [*np.quantile(1 - totals[name] / totals[baseline], QUANTILES)],
        }
        for name, each in results["systems"].items()
    }


def print_table(results: dict[str, Any], baseline: str) -> None:
    """Print what `summarize` returns."""
    print(f"| system | alpha | beta | CER | 95 % | fewer errors than {baseline} | 95 % | ms per line |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, each in summarize(results, baseline).items():
        rates, fewer = ("{:.2%} to {:.2%}".format(*each[key]) for key in ("rate_interval", "fewer_interval"))
        alpha, beta = (" ".join(f"{number:g}" for number in each[key]) for key in ("alpha", "beta"))
        print(
            f"| {name} | {alpha} | {beta} | {each['rate']:.2%} | {rates} | {each['fewer']:.1%}"
            f" | {fewer} | {each['milliseconds']:.1f} |"
        )


def make_parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines")
    parser.add_argument("systems", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("decoding.json"))
    parser.add_argument("--dev", type=int, default=300)
    parser.add_argument("--test", type=int, default=1500)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--thresholds", type=float, nargs=2, default=(5, 10), metavar=("SYMBOL", "BEAM"))
    parser.add_argument("--weights", type=float, nargs=2, metavar=("ALPHA", "BETA"), help="instead of choosing them")
    parser.add_argument("--baseline")
    return parser


def compare(arguments: argparse.Namespace, symbols: str, items: Sequence[Item]) -> dict[str, Any]:
    """Decode with each system, add what it found to the results, print the table and return the results."""
    dev, test = items[: arguments.dev], items[arguments.dev :]
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"systems": {}}
    results["chars"] = [len(line) for line, _ in test]
    options: SearchOptions = {"width": arguments.width}
    options["symbol_threshold"], options["beam_threshold"] = arguments.thresholds
    for system in arguments.systems:
        kind, _, argument = system.partition("=")
        runs = argument.split(",") if kind == "elman" else [argument]
        found = [decode_with(f"{kind}={run}" if run else kind, symbols, options, dev, test, arguments) for run in runs]
        weights, errors, seconds = zip(*found, strict=True)
        results["systems"][system] = {
            "alpha": [alpha for alpha, _ in weights],
            "beta": [beta for _, beta in weights],
            "milliseconds": 1000 * float(np.mean(seconds)) / len(test),
            "errors": np.mean(errors, axis=0).tolist(),
        }
        arguments.out.write_text(json.dumps(results))
    print_table(results, arguments.baseline or next(iter(results["systems"])))
    return results


def decode_with(
    system: str, symbols: str, options: SearchOptions, dev: Sequence[Item], test: Sequence[Item], arguments: Any
) -> tuple[tuple[float, float], list[int], float]:
    """Return the weights of a system, its errors in each line of the test set, and the seconds of the processor."""
    decode = make_decoder(system, symbols, options)
    decode([dev[0][1]], *START)  # compiles
    print(system, flush=True)
    weights = arguments.weights or ((0, 0) if system == "none" else choose_weights(decode, dev))
    start = time.process_time()
    errors = count_errors(decode, test, *weights)
    return weights, errors, time.process_time() - start


def store(path: Path, name: str, found: dict[str, Any], arguments: Any, **others: str) -> None:
    """Add a summary to the stored results."""
    results: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    baseline = arguments.baseline or next(iter(found["systems"]))
    numbers = {"lines": len(found["chars"]), "chars": sum(found["chars"]), "dev": arguments.dev}
    systems = {Path(each).name: summary for each, summary in summarize(found, baseline).items()}
    results |= {"machine": machine(), **others}
    results[name] = {**numbers, "thresholds": arguments.thresholds, "baseline": Path(baseline).name, "systems": systems}
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Compare the systems on synthetic frames."""
    arguments = make_parser(__doc__).parse_intermixed_args()
    symbols, lines = read_lines(arguments.lines, arguments.dev + arguments.test)
    rng = np.random.default_rng(2)
    found = compare(arguments, symbols, [(line, make_frames(line, symbols, rng)) for line in lines])
    store(RESULTS, Path(arguments.lines).stem, found, arguments)


if __name__ == "__main__":
    main()
