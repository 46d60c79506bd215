"""Compare the figures in the prose of README.md and docs/ with benchmarks/results.

A page has a function that yields what it must say, computed from the stored results. A number with a unit that is in
none of these sentences is a fault, unless ``GIVEN`` lists it: a setting, a figure of another author, or one that a test
reproduces.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from statistics import mean

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


@page("README.md", given=["nanoGPT reports 1.470 after three minutes on an A100"])
def readme() -> Iterator[str]:
    """What the front page says."""
    yield f"After 5 seconds on two CPU cores, Elman's loss is {peer('Elman', 5)['window_loss']:.3f} nats per character"


def in_range(form: str, values: Iterable[float]) -> str:
    """The smallest and the largest of some values."""
    found = list(values)
    return f"{min(found):{form}} to {max(found):{form}}"


@page(
    "docs/how_to/choose.md",
    given=["last tenth of tiny Shakespeare (1.1 MB)", "at most 750,000 characters per second of the time limit"],
)
def choose() -> Iterator[str]:
    """How much memory a run needs."""
    growth = load("growth")
    peaks = [one["peak_megabytes"] / 1000 for one in (*growth["sizes"], *growth["alphabets"])]
    yield f"**Memory** is [{in_range('.1g', peaks)} GB]"


@page("docs/explanation/performance.md")
def performance() -> Iterator[str]:
    """How fast training is, beside others."""
    faster, in_float32 = [], []
    for one in load("presets_profile")["compared"]:
        rates = {name: found["chars_per_second"] for name, found in one.items()}
        peers = [rates.get(name, 0) for name in ("torch_float32", "jax")]
        faster.append(rates["elman"] / max(*peers, rates["torch_bfloat16"]))
        in_float32.append(rates["elman_float32"] / max(peers))
    yield (
        f"Elman trains GRUs {in_range('.1f', faster)} times as fast as the faster of PyTorch and JAX"
        f" ({in_range('.1f', in_float32)} times in float32)."
    )
    times = {name: one["microseconds"] for name, one in load("speed")["results"][0]["figures"].items()}
    numpy, elman = times["textbook NumPy"], times["Elman float32, 2 threads"]
    yield f"{numpy / elman:.0f} times as fast as a NumPy program (float32 on two threads against float64 on one)."
    yield f"In float64, Elman needs {times['Elman float64, 2 threads']:.0f} µs on two threads."
    largest = load("growth")["sizes"][-1]
    yield f"A text of {largest['characters'] / 1e9:g} GB needs about {largest['peak_megabytes'] / 1000:.1f} GB"
    elman, lstm, nanogpt = (
        peer(name, 60)["window_loss"] for name in ("Elman", "PyTorch LSTM 256", "nanoGPT, CPU recipe")
    )
    yield f"After 60 s on tiny Shakespeare, Elman reaches a validation loss of {elman:.3f} nats per character"
    yield f"PyTorch's LSTM reaches {lstm:.3f}, and nanoGPT's recipe for a CPU reaches {nanogpt:.3f} in its windows"


@page(
    "docs/explanation/published.md",
    given=[
        "| 3 M | 1.48; 1.37; 1.36; 1.31 | | Bai et al. 2018 (arXiv 1803.01271), lower by 0.8 % through",
        "| 7.2 M | 1.190 | | Mujika et al. 2017 (arXiv 1705.08639) |",
        "| 13.8 M | 1.175 | | Merity et al. 2018 (arXiv 1803.08240) |",
        "| 24 M | 1.120 | 1.083 | Melis et al. 2020 (arXiv 1909.01792) |",
        "makemore reports about 2.77 bits for a Transformer",
        "reports 3.23 for microgpt after 10,000 updates",
        "the 1.58 million SMILES strings of MOSES (Polykovskiy et al. 2020, arXiv 1811.12823)",
    ],
)
def published() -> Iterator[str]:
    """The molecules, beside those of the paper, and the log lines; the bits per character are a table."""
    results = load("published")["results"]
    (hour,) = (one for one in results if one["data"] == "moses" and one["settings"] and one["ngram_weight"] == 1)
    yield f"| valid by RDKit | {hour['valid']:.1%} | 97.5% |".replace("%", " %")
    yield f"| distinct, of the first 10,000 valid ones | {hour['unique']:.2%} | 99.9% |".replace("%", " %")
    yield f"| not in the training set, of all distinct ones | {hour['novel']:.1%} | 84.2% |".replace("%", " %")
    bgl = {one["method"]: one["average_precision"] for one in results if one["data"] == "bgl"}
    masked = in_range(".2f", (value for name, value in bgl.items() if "--mask" in name))
    yield f"Elman with masks has an average precision of {masked}, an isolation forest of {bgl['isolation forest']:.2f}"


@page(
    "docs/explanation/recipes.md",
    given=[
        "from 200,000 characters and 120 s on",
        r"$u=256\,(S/60)^{0.27}$ is at most 640 and at most $\max(256,\,0.394\sqrt n)$",
        r"learning rate $0.03\,\min(1,256/m)^{1.7}\sqrt[4]{B/64}\sqrt{2/l}$",
        "order 10, from 80 % of the run on",
        "**Below 10 s**",
        "prior of order 8 from 50 % on",
        "below 120 s, one layer if two would read the text fewer than 1.5 times",
        "that reads its text fewer than 1.5 times has the prior from 50 % on",
    ],
)
def recipes() -> Iterator[str]:
    """What the preset steady reaches."""
    runs = [run for run in load("steady")["results"] if run["text"] == "shakespeare.txt"]
    steady, reference = (
        mean(run["minimum_smooth_loss"] for run in runs if run["preset"] == preset) / 25
        for preset in ("steady", "reference")
    )
    yield f"is {steady:.3f} nats per character, and {reference:.3f} with `reference` (means of five seeds)."


GIVEN["docs/reference/settings.md"] = ["from 10 s on, on the speed of the machine"]


def check(text: str, claims: list[str], given: list[str]) -> list[str]:
    """Return the sentences that a page lacks, and its figures that stand in none of them."""
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
    faults = [f"{name}: no such page" for name in PAGES if name not in names]
    for name in names:
        claims = list(PAGES[name]()) if name in PAGES else []
        found = check((ROOT / name).read_text(encoding="utf-8"), claims, GIVEN.get(name, []))
        faults += [f"{name}: {fault}" for fault in found]
    print(*faults, sep="\n", end="\n" * bool(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
