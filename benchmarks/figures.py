"""Compare the figures in the prose of README.md and docs/, and in the summaries of presets, with benchmarks/results.

A page has a function that yields what it must say, computed from the stored results. A number with a unit that is in
none of these sentences is a fault, unless ``GIVEN`` lists it: a setting, a figure of another author, or one that a test
reproduces.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import ceil, exp, log
from statistics import mean, median
from typing import Any

from elman.recipe import COUNTED_TEXT, PRESETS, choose_recipe, list_presets
from tables import ROOT, load

FIGURE = re.compile(
    r"(?<![\w.\-])\d[\d,.]*(?:(?:\s|-)?%|(?:\s|-)(?:nats|bits|s|ms|µs|min|seconds?|minutes?|hours?|times|MB|GB|kB|characters\sper)\b)"
    r"|(?<![\w.\-])\d+\.\d{2,}(?![\w.])"
)
"""A number with a unit, or one with two decimal places or more."""
NOT_PROSE = re.compile(
    r"^```.*?^```|<!-- (?:table|generated): .*?<!-- end -->|!\[[^]]*\]|\]\([^)]*\)|`[^`]*`", re.DOTALL | re.MULTILINE
)
"""Blocks of code, places that are generated, what pictures show, links, and names in code."""

Claims = Callable[[], Iterator[str]]
PAGES: dict[str, Claims] = {}
GIVEN: dict[str, list[str]] = {}
"""Numbers with units that were not measured here, with words around them, by page."""


def page(name: str, given: list[str] | None = None) -> Callable[[Claims], Claims]:
    """Register what a page must say, and the numbers in it that were not measured."""

    def register(claims: Claims) -> Claims:
        PAGES[name], GIVEN[name] = claims, given or []
        return claims

    return register


def peer(name: str, budget: int) -> dict[str, float]:
    """One point of `peers.py`: a program after some seconds."""
    (found,) = (one for one in load("peers")["results"] if (one["name"], one["budget"]) == (name, budget))
    return dict(found)


@page(
    "README.md",
    given=[
        "reports 1.470 after three minutes on an A100",
        "Python 3.11–3.14",
    ],  # its repository; pyproject.toml
)
def readme() -> Iterator[str]:
    """What the front page says."""
    names = load("readme")["names"]
    yield "\n".join(names["output"].splitlines()[-5:])
    yield f"the first run takes {round(names['first_seconds'] - names['seconds'], -1):.0f} seconds longer"
    yield f"`quick` trains for {PRESETS['quick'].budget:.0f} seconds"
    loss, without = (peer(name, 5)["window_loss"] for name in ("Elman", "Elman without the n-gram prior"))
    losses = f"{loss:.3f} nats per character after 5 seconds on two CPU cores ({without:.3f} without n-gram counts)"
    yield f"In windows of 256 characters, Elman reaches {losses}"
    (ours,) = (one for one in load("published")["results"] if "LineClassifier" in one.get("method", ""))
    yield f"on Python's documentation in about {load('readme')['report_seconds'] / 60:.0f} minutes"
    yield f"`LineClassifier` (n-gram counts) separates spam from ham with {100 * ours['accuracy']:.1f} % accuracy"


def in_range(form: str, values: Iterable[float]) -> str:
    """The smallest and the largest of some values, or the only one."""
    found = list(values)
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (min(found), max(found))))


JUMP = 2.0
"""How much more the smooth loss rises from zeros than from the state carried over where it jumps."""


@page("docs/how_to/find_anomalies.md", given=["higher than 99 % of the lines"])  # the option before it
def find_anomalies() -> Iterator[str]:
    """The lines that score highest, which the page abbreviates, and how many the threshold flags with several seeds."""
    log = load("readme")["log"]
    header, *rows = log["output"].splitlines()[-3:]
    yield header
    for *figures, line in (row.split("\t") for row in rows):
        yield " ".join(figures)
        yield line[-40:]
    default, *_ = flags = log["flags"]
    yield f"flags {default['flagged']} lines, including {default['alerts_flagged']} of the {default['alerts']} alerts"
    found = [[one[name] for one in flags] for name in ("flagged", "alerts_flagged")]
    lines, alerts = (f"{in_range('d', each)} {{}} (median {median(each):.0f})" for each in found)
    yield f"{len(flags)} seeds flag {lines.format('lines')}, including {alerts.format('alerts')}"


@page(
    "docs/explanation/bptt.md",
    given=[r"with $\mu=0.95$", "initial weights have standard deviation 0.01, the smooth loss starts at"],
)
def bptt() -> Iterator[str]:
    """What the reset at the start of an epoch does, and the error of a gradient check."""
    runs = [run for run in load("epoch_start")["results"] if run["dtype"] == "float64"]
    starts = [start for run in runs for start in run["epoch_starts"]]
    rises = [(one["from_zeros"]["rise"] - one["carried_over"]["rise"], one) for one in starts]
    jumps = [one for more, one in rises if more > JUMP]
    others = max(more for more, _ in rises if more <= JUMP)
    largest = max(jumps, key=lambda one: float(one["from_zeros"]["rise"]))
    before = largest["smooth_loss"]
    zeros, carried = (before + largest[state]["rise"] for state in ("from_zeros", "carried_over"))
    yield f"In {('no', 'one', 'two', 'three')[len(jumps)]} of {len(runs)} runs of ten epochs in float64"
    yield f"once from {before:.1f} to {zeros:.1f}, but only to {carried:.1f} with the state carried over."
    yield f"At all other starts, zeros raised it by at most {others:.1f} more than the state carried over."


@page("docs/explanation/cells.md")
def cells() -> Iterator[str]:
    """What a gate preserves."""
    yield f"a gate of 0.99 preserves {100 * 0.99**100:.0f} %."
    yield rf"$b_f$ is initialized to 1; $\sigma(1)\approx{1 / (1 + exp(-1)):.2f}$."


@page("docs/how_to/inspect_hidden_units.md")
def inspect_hidden_units() -> Iterator[str]:
    """The size of a page."""
    found = load("explain_page")["results"]
    yield f"such as 80 units for 100,000 characters ({found['megabytes']:.0f} MB)"


GIVEN["docs/explanation/guarantees.md"] = [
    "every 30 s or 100,000 updates, less often if that takes more than 1 % of the time",
    "at most 60 times its size plus 2 MB of memory, or 80 times if it is an ARPA"
    " file",  # tests/support/corrupt_files.py; tests/formats/test_arpa_text.py
    "may expand to 20 times its compressed size plus 1 MB",  # src/elman/formats/arpa_text.py, _MAX_RATIO
    "over 99 % of a layer's units are within 1e-6 of ±1 or 0",
    "exceeds 1.5 times the loss of uniform predictions",
]
GIVEN["docs/explanation/security.md"] = ["killed after 15 seconds per 262,144 characters"]


@page(
    "docs/how_to/choose.md",
    given=["last tenth of tiny Shakespeare (1.1 MB)"],
)
def choose() -> Iterator[str]:
    """How much memory a run needs."""
    growth = load("growth")
    peaks = [one["peak_megabytes"] / 1000 for one in (*growth["sizes"], *growth["alphabets"])]
    yield f"**Memory** is [{in_range('.1g', peaks)} GB]"


@page("docs/explanation/ngram_prior.md")
def ngram_prior() -> Iterator[str]:
    """When the prior starts."""
    starts = [choose_recipe(1_000_000, seconds)["ngram_start"] for seconds in (6, 60)]
    yield "for {:.0f} or {:.0f} % of the run".format(*(100 * start for start in starts))
    yield f"below {COUNTED_TEXT:,} characters"


@page("docs/explanation/performance.md", given=["Numba 0.62", "LSTM reached 1.514"])  # the first with LLVM 20; NOTES.md
def performance() -> Iterator[str]:
    """How fast training is, beside others."""
    faster, in_float32 = [], []
    for one in load("presets_profile")["compared"]:
        rates = {name: found["chars_per_second"] for name, found in one.items()}
        peers = [rates.get(name, 0) for name in ("torch_float32", "jax")]
        faster.append(rates["elman"] / max(*peers, rates["torch_bfloat16"]))
        in_float32.append(rates["elman_float32"] / max(peers))
    yield (
        f"Elman trains GRUs {in_range('.1f', faster)} times as fast as the fastest peer below, PyTorch or JAX"
        f" ({in_range('.1f', in_float32)} times in float32)."
    )
    times = {name: one["microseconds"] for name, one in load("speed")["results"][0]["figures"].items()}
    numpy, elman = times["textbook NumPy"], times["Elman float32, 2 threads"]
    yield f"{numpy / elman:.0f} times as fast as a NumPy program (float32 on two threads against float64 on one)."
    elman, lstm, nanogpt = (
        peer(name, 60)["window_loss"] for name in ("Elman", "PyTorch LSTM 256", "nanoGPT, CPU recipe")
    )
    yield f"After 60 s on tiny Shakespeare, Elman reaches a validation loss of {elman:.3f} nats per character"
    yield f"PyTorch's LSTM reaches {lstm:.3f}, and nanoGPT's recipe for a CPU reaches {nanogpt:.3f} in its windows"


@page(
    "docs/explanation/published.md",
    given=[
        "| 3 M | 1.48; 1.37; 1.36; 1.31 | | Bai et al. 2018 (arXiv 1803.01271); an extra, easily predicted"
        " character per line lowers these by 0.8 %",
        "| 7.2 M | 1.190 | | Mujika et al. 2017 (arXiv 1705.08639) |",
        "| 13.8 M | 1.175 | | Merity et al. 2018 (arXiv 1803.08240) |",
        "AWD-LSTM is better (1.175)",
        "| 24 M | 1.120 | 1.083 | Melis et al. 2020 (arXiv 1909.01792) |",
        "makemore reports about 2.77 bits for a Transformer",
        "the 1.58 million SMILES strings of MOSES (Polykovskiy et al. 2020, arXiv 1811.12823)",
        "a random order has 0.05",  # 47 of the 1,000 lines of BGL_2k.log's second half are alerts
    ],
)
def published() -> Iterator[str]:
    """Penn Treebank, molecules and log lines, beside the results of others."""
    results = load("published")["results"]
    (hour,) = (one for one in results if one["data"] == "moses" and one["settings"] and one["ngram_weight"] == 1)
    yield f"| valid by RDKit | {hour['valid']:.1%} | 97.5% |".replace("%", " %")
    yield f"| not in the training set, of distinct valid ones | {hour['novel']:.1%} | 84.2% |".replace("%", " %")
    bgl = {one["method"]: one["average_precision"] for one in results if one["data"] == "bgl"}
    masked = in_range(".2f", (value for name, value in bgl.items() if "--mask" in name))
    forest = bgl["isolation forest"]
    yield f"Elman with masks has an average precision of {masked}, depending on `--by`,"
    yield f"and an isolation forest has {forest:.2f};"
    ptb = {one["seconds"]: f"{one['static']:.3f}" for one in results if one["data"] == "ptb" and not one["settings"]}
    yield f"in 5 minutes ({ptb[300]} against 1.36 bits per character) and a TCN in an hour ({ptb[3600]} against 1.31)"


@page(
    "docs/explanation/recipes.md",
    given=[
        r"from 200,000 characters on if $S\ge120$ or $n\le10{,}000\,S$",
        r"$u=256\,(S/60)^{0.27}$ is at most 640 and at most $\max(256,\,0.394\sqrt n)$",
        r"learning rate $0.03\,\min(1,256/m)^{1.7}\sqrt[4]{B/64}\sqrt{2/l}$",
        "**Below 10 s**",
        "700 below 10 s",
        "It is rounded, and 1 below 10 s",
        "**More than 12 epochs of over 1.2 million characters**: weight decay 0.1, dropout 0.15",
        r"two layers of $0.75\,u$ units",
        "Below 120 s, one layer of at least 256",
        "if two would read it fewer than 1.5 times. Below 1.5 epochs, the prior from 50 % on",
    ],
)
def recipes() -> Iterator[str]:
    """The priors of the recipe, and what the preset steady reaches."""
    usual, short = (choose_recipe(1_000_000, seconds) for seconds in (60, 6))
    yield f"order {usual['ngram_order']}, from {usual['ngram_start']:.0%} of the run on".replace("%", " %")
    yield f"prior of order {short['ngram_order']} from {short['ngram_start']:.0%} on".replace("%", " %")
    runs = [run for run in load("steady")["results"] if run["text"] == "shakespeare.txt"]
    steady, reference = (
        mean(run["minimum_smooth_loss"] for run in runs if run["preset"] == preset) / 25
        for preset in ("steady", "reference")
    )
    yield f"is {steady:.3f} nats per character, and {reference:.3f} with `reference` (means of five seeds)."


GIVEN["docs/reference/settings.md"] = ["from 10 s on, on the speed of the machine"]


@page("docs/explanation/reference_experiment.md")
def reference_experiment() -> Iterator[str]:
    """How far Elman is from the course report."""
    stored = load("reference_experiment")
    minima = [seed["plotted_minimum"] for seed in stored["its_text"]["seeds"]]
    report, elman = stored["reference"]["short"]["minimum_smooth_loss"], minima[0]
    yield f"of {elman:.2f}; the report's is {report}."
    yield f"The report's minimum, {report}, is over every 10,000th update."
    yield f"with other seeds, Elman's minimum is up to {max(minima) - min(minima):.1f} higher,"
    published = [check["relative_error"] for check in stored["reference"]["gradient_check"]]
    published[2] = published[2] | {"W": 10 * published[2]["W"]}
    found = [check["relative_error"] for check in stored["its_text"]["gradient_check"]["zero_state"]]
    found[0] = stored["its_text"]["ten_units"]["relative_error"]
    pairs = [
        (ours[name], error) for theirs, ours in zip(published, found, strict=True) for name, error in theirs.items()
    ]
    most = ceil(100 * max(abs(ours / error - 1) for ours, error in pairs))
    yield f"After two corrections, each of the {len(pairs)} published numbers is within {most} % of Elman's"


@page(
    "docs/tutorials/first_model.md",
    given=["Elman downloads `shakespeare` (tiny Shakespeare, 1.1 MB)", "would need 2.1 bits per character, not 8"],
)
def first_model() -> Iterator[str]:
    """The outputs of its commands."""
    (train, scored) = load("tutorials")["pages"]["first_model"].values()
    yield f"validation loss {train['validation_loss']:.3f} nats/char train loss {train['train_loss']:.3f} nats/char"
    yield f"loss of the counts {train['counts_loss']:.3f} nats/char"
    yield f"the loss is ln 65 = {log(65):.3f}"
    yield f"nats per char {scored['nats_per_char']:.4f}"
    yield f"bits per char {scored['bits_per_char']:.4f}"
    yield f"perplexity {scored['perplexity']:.4f}"
    yield f"as if it were choosing among {scored['perplexity']:.1f} equally likely characters"


@page(
    "docs/tutorials/from_recurrence_to_network.md",
    given=["have $|h|>0.95$"],
)
def from_recurrence_to_network() -> Iterator[str]:
    """What saturates and what vanishes in trained networks."""
    networks = load("recurrence")["networks"]
    reference, steady, *_ = networks.values()
    saturated = [network["saturation"][-1]["fraction"] for network in (reference, steady)]
    yield f"after 20,000 updates, {100 * saturated[0]:.0f} % of the units of preset"
    better = reference["loss"] - steady["loss"]
    yield f"{100 * saturated[1]:.0f} % are saturated, and the loss is {better:.2f} nats per character lower."
    left = {name: network["gradients"]["trained"]["median"] for name, network in networks.items()}
    ten = in_range(".0f", (100 * norms[10] for norms in left.values()))
    yield f"After ten steps, {ten} % of the gradient is left in trained networks"
    lstm, others = left["lstm"][50], max(norms[50] for name, norms in left.items() if name != "lstm")
    yield rf"after fifty steps, ${in_tex(lstm)}$ in the LSTM and at most ${in_tex(others)}$ in the others"


def in_tex(number: float) -> str:
    """A number of one digit, times a power of ten."""
    digit, exponent = f"{number:.0e}".split("e")
    return rf"{digit}\cdot10^{{{int(exponent)}}}"


FEATURES = ("position in the line", "after a sentence", "line feed")
"""Those that the page shows."""


@page("docs/tutorials/looking_inside.md")
def looking_inside() -> Iterator[str]:
    """The loss and the scores that are printed."""
    explained = list(load("tutorials")["pages"]["looking_inside"].values())[-1]
    yield f"nats per char {explained['nats_per_char']:.4f}"
    for feature in explained["features"]:
        if feature["name"] in FEATURES:
            best = feature["best"][0]
            unit = f"{'cell' if best['part'] == 'memory' else 'hidden'} state {best['number']}"
            yield f"{feature['name']} {best['score']:.2f} by {unit} (baseline {best['null_score']:.2f})"


@page("docs/tutorials/your_own_text.md")
def your_own_text() -> Iterator[str]:
    """The losses of its runs."""
    plain, dropout, prior = load("tutorials")["pages"]["your_own_text"].values()
    for update in ("100", "900", "1500", "2000"):
        train, validation = plain["losses"][update]
        yield f"| {int(update):,} | {train:.3f} | {validation:.3f} |"
    yield f"The validation loss reaches {dropout['validation_loss']:.3f} and does not rise."
    for run in (prior, dropout, plain):
        yield f"2,000 {run['train_loss']:.3f} {run['validation_loss']:.3f} max_updates"


def decoders(name: str) -> list[dict[str, Any]]:
    """What `decoding.py` or `ocr.py` found for each program on the messages: those in Elman with n-grams, networks."""
    systems = next(one for one in load(name).values() if "systems" in one)["systems"]
    return [systems[key] for key in ("KenLM, order 12, imported", "counts", "network, minute, seeds 1 to 3")]


@page(
    "docs/how_to/decode.md",
    given=[
        # benchmarks/decoding.py, make_frames and QUANTILES
        "substitutes 25 % of the characters, drops 4 %, and inserts 4 %",
        "95 % bootstrap intervals",
        # tests/formats/test_arpa_text.py, TOLERANCE
        "equal Elman's to within 0.00001",
        # src/elman/formats/arpa_text.py, _MAX_DEFECT
        "differs from 1 by more than 0.01",
        "(default 10 nats)",
    ],
)
def decode() -> Iterator[str]:
    """What the network costs."""
    simulated, ocr = decoders("decoding"), decoders("ocr")
    *ngrams, networks = (
        [one["milliseconds"], other["milliseconds"]] for one, other in zip(simulated, ocr, strict=True)
    )
    both = in_range(".0f", chain.from_iterable(ngrams))
    yield f"It needs {in_range('.0f', networks)} ms per line; n-grams in Elman's decoder need {both} ms"


@page("docs/how_to/compress_files.md")
def compress_files() -> Iterator[str]:
    """How fast both modes are."""
    modes = next(run["modes"] for run in load("compression")["runs"] if run["name"] == "quick")
    for mode, unit in (("mixture", " characters per second"), ("static", "")):
        yield f"| {round(modes[mode]['compress_per_second'], -3):,}{unit} |"


@page(
    "docs/how_to/install.md",
    given=["Elman requires Python 3.11 to 3.14", "on Python 3.13 and older", "with Python 3.14"],  # pyproject.toml
)
def install() -> Iterator[str]:
    """How long kernels are compiled."""
    figures = load("startup")["figures"]
    seconds = figures["train_one_update_compiling"] - figures["train_one_update_compiled"]
    yield f"with preset `reference`, {seconds:.0f} s more"


GIVEN["docs/how_to/playground.md"] = ["by at most 0.002 nats per character"]  # MAX_INCREASE of formats/page


SUMMARIES = "src/elman/recipe.py"
"""What has the summaries of presets, which are checked like a page."""
MILLIONS = load("reference_experiment")["corpus"]["chars"] / 1e6
"""Characters of tiny Shakespeare."""


def containing(stated: str, values: Iterable[float]) -> str:
    """A stated range, or the range of some results where it does not contain all of them."""
    values = [*values]
    low, high = map(float, stated.split(" to "))
    digits = len(stated.split(" to ")[0].partition(".")[2])
    return stated if all(low <= round(value, digits) <= high for value in values) else in_range(f".{digits}f", values)


@page(
    SUMMARIES,
    given=["4 for about 300 kB", "2 layers below 200 kB", "448 for 5 MB", "1 h, for long texts"],  # choose_recipe
)
def summaries() -> Iterator[str]:
    """What presets reach on tiny Shakespeare."""
    results = [one for one in load("presets")["results"] if one["text"] == "shakespeare.txt" and "settings" not in one]
    found = {name: [one for one in results if one["preset"] == name] for name in PRESETS}
    losses = {name: [one["validation_loss"] for one in runs] for name, runs in found.items()}
    times = {name: median(one["whole_seconds"] for one in runs) for name, runs in found.items() if runs}
    counts = f"validation loss {median(losses['counts']):.2f} nats/char"
    yield f"about {times['counts'] / MILLIONS:.0f} s per million characters: {counts}"
    quick, minute = containing("1.45 to 1.49", losses["quick"]), containing("1.36 to 1.40", losses["minute"])
    yield f"{PRESETS['quick'].budget:.0f} s: validation loss {quick} nats/char"
    yield f"{times['minute'] / 60:.0f} min: validation loss {minute} nats/char"
    yield f"{times['strong'] / 60:.0f} min: validation loss {median(losses['strong']):.2f} nats/char"
    runs = [run for run in load("steady")["results"] if run["text"] == "shakespeare.txt"]
    steady, reference = ([run for run in runs if run["preset"] == name] for name in ("steady", "reference"))
    minima = [mean(run["minimum_smooth_loss"] for run in group) / 25 for group in (steady, reference)]
    minutes = median(run["seconds"] for run in steady) / 60 / MILLIONS
    yield f"{minima[1] - minima[0]:.2f} nats/char lower; about {minutes:.0f} min per million characters"
    seconds = load("startup")["figures"]["ten_epochs"]["seconds"] / MILLIONS
    yield f"10 epochs; about {seconds:.0f} s per million characters"


def nothing() -> Iterator[str]:
    """A page without a measurement."""
    yield from ()


SETTINGS = {
    "docs/how_to/evaluate_and_score.md": [
        "higher than 99 % of the held-out lines",  # the option before it
        "each costs about 25 nats",  # elman.text.unknown; tests/project/test_pages.py, test_the_guide_finds_the_anomaly
    ],
    "docs/how_to/export_and_import.md": ["Python 3.8 and NumPy 1.20 or newer"],  # elman.formats.python
    "docs/how_to/random_strings.md": ["than 99 % of the held-out strings"],  # the option before it
    "docs/how_to/reproduce_a_result.md": ["from 10 s on"],  # elman.recipe
    "docs/how_to/serve.md": ["after 30 seconds it is disconnected"],  # tests/apps/serve/test_docs.py
    "docs/how_to/stop_and_resume.md": ["the last 10 % of the text"],  # the option before it
    "docs/how_to/texts.md": [
        "time stamps in at least 70 % of the lines",  # STAMPED of elman.text.kinds
        "keeps 99 % of the text",  # KEPT there
        "delivers nothing within 5 s",  # PIPE_SECONDS of elman.text.sources
        "750,000 characters per second of the limit",  # MAX_CHARS_PER_SECOND of elman.recipe
    ],
    "docs/reference/compressed_format.md": ["max(1, min(32, floor(N / 4096)))"],
    "docs/reference/glossary.md": ["1 nat is 1.44 bits"],  # 1 / log 2
    "docs/reference/http_api.md": ["must arrive within 30 s"],  # Settings of elman.apps.serve
}
"""Settings and limits of the code with units, in pages without measurements."""
for _name, _given in SETTINGS.items():
    page(_name, _given)(nothing)


def check(text: str, claims: list[str], given: list[str]) -> list[str]:
    """Return the sentences that a page lacks, and its figures that are in none of them."""
    faults = []
    for claim in (*claims, *given):
        text, count = re.subn(r"\s+".join(map(re.escape, claim.split())), " ", text)
        faults += [f"does not say: {claim}"] * (not count)
    prose = " ".join(NOT_PROSE.sub("`", text).split())
    for match in FIGURE.finditer(prose):
        around = prose[max(0, match.start() - 40) : match.end() + 20]
        faults.append(f"{match[0]} has no stored result: … {around} …")
    return faults


def main() -> None:
    """Print the faults of all pages."""
    names = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names} | {SUMMARIES: list_presets()}
    faults = [f"{name}: no such page" for name in PAGES if name not in texts]
    for name, text in texts.items():
        claims = list(PAGES[name]()) if name in PAGES else []
        found = check(text, claims, GIVEN.get(name, []))
        faults += [f"{name}: {fault}" for fault in found]
    print(*faults, sep="\n", end="\n" * bool(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
