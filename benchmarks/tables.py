"""Write the tables of NOTES.md and docs/ from benchmarks/results. With --check, only compare."""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import published
import reference_experiment
from elman.recipe import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "benchmarks" / "NOTES.md",
    ROOT / "docs" / "explanation" / "ngram_prior.md",
    ROOT / "docs" / "explanation" / "performance.md",
    ROOT / "docs" / "explanation" / "published.md",
    ROOT / "docs" / "explanation" / "reference_experiment.md",
    ROOT / "docs" / "how_to" / "choose.md",
    ROOT / "docs" / "how_to" / "compress_files.md",
    ROOT / "docs" / "how_to" / "decode.md",
)

Result = dict[str, Any]


def load(name: str) -> Any:
    """Return one file of results."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(header: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Return a Markdown table, whose first columns are words; numbers are to the right."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def speed() -> str:
    """Elman and its peers at the reference setting."""
    result = load("speed")
    figures = result["results"][0]["figures"]
    fastest = min(figure["microseconds"] for figure in figures.values())
    rows = []
    figures = {name: figure for name, figure in figures.items() if "float64" not in name}
    for name, figure in sorted(figures.items(), key=lambda item: float(item[1]["microseconds"])):
        ratio = figure["microseconds"] / fastest
        rows.append([name, f"{figure['microseconds']:,.0f} µs", f"{ratio:.1f}"])
    header = ["one update, m = 100, T = 25, K = 76", "time", "relative"]
    return f"{table(header, rows)}\n\n{measured_on(result, figures)}"


PROGRAMS = {
    "Elman float32, 2 threads": "Elman, 2 threads",
    "Elman float64, 2 threads": "Elman in float64, 2 threads",
    "JAX, 1 thread": "JAX, 1 or 2 threads",
    "textbook NumPy": "textbook NumPy in float64",
    "PyTorch written-out, 1 thread": "PyTorch, written out",
}
"""The programs of `speed.py` that the page on performance shows."""


def speed_short() -> str:
    """The fastest of each program at the reference setting."""
    found = load("speed")["results"][0]["figures"]
    figures = {name: found[program] for program, name in PROGRAMS.items()}
    fastest = min(figure["microseconds"] for figure in figures.values())
    rows = [
        [name, f"{figure['microseconds']:,.0f} µs", f"{figure['microseconds'] / fastest:.1f}"]
        for name, figure in figures.items()
    ]
    return table(["m = 100, T = 25, K = 76", "time", "relative"], rows)


def measured_on(result: Result, figures: dict[str, Result]) -> str:
    """The machine and the versions, as a sentence."""
    versions = {name: version for figure in figures.values() for name, version in figure["versions"].items()}
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"Measured on {machine(result)}; {named}."


def machine(result: Result) -> str:
    """The machine of a result, in words."""
    about = result["machine"]
    return f"{about['cores']} cores of {about['processor']} ({about['system'].split('-')[0]})"


def startup() -> str:
    """Start-up and end-to-end times."""
    figures = load("startup")["figures"]
    ten = figures["ten_epochs"]
    rows = [
        ["`elman --help`", f"{figures['help']:.2f} s"],
        [
            "`elman train` of one update, start to exit, kernels compiled",
            f"{figures['train_one_update_compiling']:.1f} s",
        ],
        [
            "the same, kernels in the cache",
            f"{figures['train_one_update_compiled']:.2f} s",
        ],
        ["ten epochs of Shakespeare (1.1 M characters)", f"{ten['seconds']:.1f} s"],
        ["peak memory of training on it", f"{figures['peak_megabytes']:.0f} MB"],
        ["`elman sample`, 1,000 characters, start-up included", f"{figures['sample_1000']:.2f} s"],
        ["gradient check on 100 characters, m = T = 100, start-up included", f"{figures['gradcheck_third']:.1f} s"],
    ]
    return table(["", ""], rows)


BUSY = {
    "idle": "idle",
    "busy-4": "beside 4 busy processes",
    "pause-50": "a pause of 10 s at half of the time",
    "one": "one thread",
}
"""The cases of `busy.py` that the page shows."""


def busy() -> str:
    """Trainings on a busy machine: the range of the runs of each case, and the median time of the whole command."""
    rows, cells = load("busy"), []
    for case, name in BUSY.items():
        for preset in ("quick", "minute"):
            found = [row for row in rows if (row["case"], row["preset"]) == (case, preset)]
            networks = " or ".join(sorted({row["network"].replace("x", "×") for row in found}))
            updates = _in_range("{:,}", [row["updates"] for row in found])
            losses = _in_range("{:.3f}", [row["validation_loss"] for row in found])
            seconds = statistics.median(row["whole_seconds"] for row in found)
            cells.append([name, f"`{preset}`", networks, updates, losses, f"{seconds:.0f} s"])
    return table(["case", "preset", "network", "updates", "validation loss", "whole command"], cells)


def busy_minute() -> str:
    """What `minute` reaches on a busy machine, as a sentence."""
    rows = [row for row in load("busy") if row["preset"] == "minute"]
    idle, one, busy = (
        _in_range("{:.3f}", [row["validation_loss"] for row in rows if row["case"] == case])
        for case in ("idle", "one", "busy-4")
    )
    counts = _in_range("{:.3f}", [row["counts_loss"] for row in rows])
    return (
        f"In two runs each on tiny Shakespeare, `minute` reaches {idle} nats per character on idle cores, {one} with"
        f" one thread, and {busy} beside four busy processes. The n-gram counts alone reach {counts}."
    )


def _in_range(form: str, values: list[float]) -> str:
    """The smallest and the largest of some values, or the only one."""
    return " to ".join(dict.fromkeys(form.format(value) for value in (min(values), max(values))))


def _network(one: Result) -> str:
    """The layers, units, batch size and alphabet of a network."""
    return f"{one['layers']} × {one['m']}, B = {one['B']}, K = {one['K']:,}"


def presets_profile() -> str:
    """Where the time of an update goes in every network, and the fraction of the processor's rate that it reaches."""
    result = load("presets_profile")
    points, peaks = result["profile"], {(one["precision"], one["threads"]): one["rate"] for one in result["peaks"]}
    kinds, work = (
        [(one["precision"], one["threads"]) for one in points],
        [sum(one["multiply_adds"].values()) for one in points],
    )
    seconds = {part: [one["parts"][part] for one in points] for part in points[0]["parts"]}
    seconds["**all, with timers**"] = [one["update_seconds_with_timers"] for one in points]
    seconds["**all**"] = whole = [one["update_seconds"] for one in points]
    rows = [[name, *(f"{1e3 * each:.3g}" for each in found)] for name, found in seconds.items() if any(found)]
    rows.append(["10⁶ multiply-adds", *(f"{each / 1e6:,.0f}" for each in work)])
    shares = (n / took / peaks[kind] for n, took, kind in zip(work, whole, kinds, strict=True))
    rows.append(["fraction of the tile's rate", *(f"{share:.0%}" for share in shares)])
    names = [f"{_network(one['network'])}, {one['threads']} thr." for one in points]
    header = ["one update, milliseconds", *names]
    rates = ", ".join(f"{rate / 1e9:.0f} ({kind}, {threads} thr.)" for (kind, threads), rate in peaks.items())
    used = " and ".join(sorted({kind for kind, _ in kinds}))
    measured = f"Measured on {machine(result)} in {used}. G multiply-adds per second of the tile: {rates}."
    return f"{table(header, rows)}\n\n{measured}"


def presets_compared() -> str:
    """Thousands of characters per second of GRUs without a prior, and of peers."""
    result, rows = load("presets_profile"), []
    names = ("elman", "elman_float32", "torch_float32", "torch_bfloat16", "jax")
    for one in result["compared"]:
        rates = [one[name]["chars_per_second"] if name in one else 0 for name in names]
        elman, in_float32, torch, torch_bfloat16, jax = rates
        ratios = elman / max(torch, torch_bfloat16, jax, 1), in_float32 / max(torch, jax, 1)
        cells = [f"{rate / 1000:.3g}" if rate else "" for rate in rates]
        rows.append([_network(one["elman"]["network"]), *cells, *(f"{ratio:.1f}" for ratio in ratios)])
    columns = "network|Elman, bfloat16|Elman, float32|PyTorch|PyTorch, bfloat16|JAX|Elman / fastest peer|in float32"
    versions = {name[:5]: one[name]["version"] for one in result["compared"] for name in names[2:] if name in one}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    measured = f"Thousands of characters per second, measured on {machine(result)}; {named}."
    return f"{table(columns.split('|'), rows)}\n\n{measured}"


def growth() -> str:
    """The cost of a training as the text and its alphabet grow."""
    result, rows = load("growth"), []
    for one in (*result["sizes"], *result["alphabets"]):
        counts = (one[key] for key in ("characters", "read", "alphabet", "peak_megabytes", "chars_per_second"))
        seconds, loss = f"{one['first_update_seconds']:.1f} s", one["validation_loss"]
        rows.append([*(f"{n:,}" for n in counts), seconds, "" if loss is None else f"{loss:.3f}"])
    columns = "characters|read|alphabet|peak memory, MB|characters per second|first update after|validation loss"
    measured = f"Measured on {machine(result)}, `--max-seconds {result['seconds']:g}`."
    return f"{table(columns.split('|'), rows)}\n\n{measured}"


def growth_short() -> str:
    """The memory and the start of a run as the text and its alphabet grow."""
    result = load("growth")
    texts = {f"{one['characters']:,} characters": one for one in (result["sizes"][0], result["sizes"][-1])}
    largest = result["alphabets"][-1]
    texts[f"{largest['characters']:,} characters, {largest['alphabet']:,} of them distinct"] = largest
    rows = [
        [name, f"{one['peak_megabytes']:,} MB", f"{one['first_update_seconds']:.1f} s"] for name, one in texts.items()
    ]
    return table(["text", "peak memory", "first update after"], rows)


CHOICE = {
    "minute": ("most texts; the default", "GRU, 1 to 4 layers"),
    "quick": ("a first result", "GRU, 1 layer"),
    "strong": ("about 1 MB of text", "GRU, 2 or 4 layers"),
    "hour": ("5 MB or more", "GRU, 2 or 4 layers"),
    "counts": ("a [decoder](decode.md)", "none: n-grams alone"),
    "reference": ("repeating min-char-rnn", "vanilla RNN"),
    "steady": ("the same network, trained better", "vanilla RNN"),
}
"""What the presets are for, and their networks."""


def choose_presets() -> str:
    """What the presets are for, and what they reach on tiny Shakespeare."""
    rows = []
    for name, (purpose, network) in CHOICE.items():
        found = _preset_results(name, "shakespeare.txt")
        times, losses = ([one[key] for one in found] for key in ("whole_seconds", "validation_loss"))
        if (budget := PRESETS[name].budget) is not None:
            times = [budget]
        elif name == "reference":
            times = [load("startup")["figures"]["ten_epochs"]["seconds"]]
        elif name == "steady":
            runs = [run for run in load("steady")["results"] if run["text"] == "shakespeare.txt"]
            times = [run["seconds"] for run in runs if run["preset"] == name]
        loss = f"{statistics.median(losses):.3f}" if losses else ""
        rows.append([f"`{name}`", purpose, network, _duration(statistics.median(times)), loss])
    header = ["`--preset`", "use it for", "network", "time", "loss"]
    return table(header, rows, words=3)


def _preset_results(preset: str, text: str) -> list[Result]:
    """The results of a preset on a text, without other settings."""
    results = load("presets")["results"]
    return [one for one in results if (one["preset"], one["text"]) == (preset, text) and not one.get("settings")]


def _duration(seconds: float) -> str:
    """A time in the largest unit of which there is one or more."""
    units = {"h": 3600, "min": 60, "s": 1}
    return next(f"{seconds / size:.0f} {unit}" for unit, size in units.items() if seconds > 0.95 * size or size == 1)


def choose_texts() -> str:
    """What a text of some length gains from more time."""
    rows = []
    for name, size in {"shakespeare-10kB.txt": "10 kB", "shakespeare-100kB.txt": "100 kB"}.items():
        (one,) = _preset_results("minute", name)
        rows.append([size, f"{one['validation_loss']:.3f} after {one['whole_seconds']:.0f} s", "", ""])
    minute, strong = (
        statistics.median(one["validation_loss"] for one in _preset_results(preset, "shakespeare.txt"))
        for preset in ("minute", "strong")
    )
    rows.append(["1.1 MB", f"{minute:.3f}", f"{strong:.3f} after 4 min", ""])
    ptb = {
        one["seconds"]: f"{one['static'] * math.log(2):.3f}"
        for one in load("published")["results"]
        if one["data"] == "ptb" and not one["settings"]
    }
    rows.append(["5 MB, Penn Treebank", *(ptb[seconds] for seconds in (60, 300, 3600))])
    return table(["text", "1 min", "5 min", "1 h"], rows)


def ngram_prior() -> str:
    """What the prior gains, by its start."""
    found: dict[tuple[str, float], dict[int, Result]] = {}
    for one in load("ngram_prior"):
        if one["group"] in ("order", "start", "folds"):
            ((_, value),) = one["settings"].items()
            found.setdefault((one["group"], value), {})[one["updates"]] = one
    variants = {
        "without a prior": ("order", 0),
        "prior from the first update on": ("start", 0.0),
        "prior from 50 % of the run on": ("start", 0.5),
        "the same, without cross-fitting": ("folds", 0),
        "prior from 80 % of the run on": ("start", 0.8),
    }
    lengths = sorted(found["start", 0.8])
    cells = {
        name: [statistics.median(runs[n]["validation_loss"]) if n in runs else None for n in lengths]
        for name, runs in ((name, found[key]) for name, key in variants.items())
    }
    cells["the counts alone"] = [found["start", 0.8][n]["counts_alone"] for n in lengths]
    rows = [[name, *("" if loss is None else f"{loss:.3f}" for loss in losses)] for name, losses in cells.items()]
    return table(["", *(f"{n:,} updates" for n in lengths)], rows)


def presets() -> str:
    """What each preset reaches, and how long the whole command takes: medians over the seeds."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for point in load("presets")["results"]:
        preset = " ".join([point["preset"], *point.get("settings", [])])
        groups.setdefault((point["text"], preset), []).append(point)
    rows = []
    for (text, preset), points in sorted(groups.items(), key=lambda one: (one[0][0], one[1][0]["whole_seconds"])):
        losses, seconds = ([point[key] for point in points] for key in ("validation_loss", "whole_seconds"))
        spread = f" ({min(losses):.3f} to {max(losses):.3f}, {len(losses)} seeds)" if len(losses) > 1 else ""
        rows.append(
            [
                f"`{preset}`",
                text,
                f"{statistics.median(losses):.3f}{spread}",
                f"{statistics.median(seconds):.1f} s",
            ]
        )
    return table(["preset", "text", "validation loss", "whole command"], rows)


def peers() -> str:
    """The validation loss of the presets and of peers, by seconds of training."""
    result = load("peers")
    cells: dict[str, dict[int, str]] = {}
    for point in result["results"]:
        took = f" ({point['seconds']:.0f} s)" if point["seconds"] > 1.05 * point["budget"] else ""
        cells.setdefault(point["name"], {})[point["budget"]] = f"{point['loss']:.3f}, {point['window_loss']:.3f}{took}"
    budgets = sorted({budget for found in cells.values() for budget in found})
    rows = [[name, *(found.get(budget, "") for budget in budgets)] for name, found in cells.items()]
    versions = {point["versions"]["torch"] for point in result["results"] if "versions" in point}
    header = ["validation loss, nats per character: state carried, windows", *(f"{budget} s" for budget in budgets)]
    return f"{table(header, rows)}\n\nMeasured on {machine(result)}; torch {', '.join(sorted(versions))}."


def steady() -> str:
    """The least smooth loss of the reference network, trained two ways."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in load("steady")["results"]:
        found.setdefault((one["text"], one["preset"]), []).append(one["minimum_smooth_loss"])
    rows = [
        [text, f"`{preset}`", ", ".join(f"{loss:.2f}" for loss in losses), f"{sum(losses) / len(losses):.2f}",
         f"{max(losses) - min(losses):.2f}"]
        for (text, preset), losses in found.items()
    ]  # fmt: skip
    return table(["text", "preset", "five seeds", "mean", "spread"], rows)


def saturation() -> str:
    """The saturated units of the two vanilla networks, as training proceeds."""
    networks = load("recurrence")["networks"]
    marks = (0, 1, 10, 100, 1_000, 20_000)
    rows = []
    for name in list(networks)[:2]:
        found = {row["update"]: row for row in networks[name]["saturation"]}
        rows.append([name, *(f"{found[mark]['fraction']:.0%} ({found[mark]['slope']:.2f})" for mark in marks)])
    return table(["saturated units (mean slope) after updates", *(f"{mark:,}" for mark in marks)], rows)


def vanishing() -> str:
    """The median norm of a gradient some steps back, before and after training."""
    networks, steps = load("recurrence")["networks"], (1, 5, 10, 25, 50, 100)
    rows = [
        [f"{name}, {stage}", *(f"{result['gradients'][stage]['median'][k]:.1g}" for k in steps),
         f"{result['loss']:.2f}" if stage == "trained" else ""]
        for stage in ("untrained", "trained")
        for name, result in networks.items()
    ]  # fmt: skip
    return table(["steps back", *map(str, steps), "loss, nats per character"], rows)


def sampling() -> str:
    """Characters a second of one stream of samples."""
    rows = [
        [point["cell"], str(point["m"]), f"{point['engine']:,}", f"{point['stream']:,}"]
        for point in load("sampling")["results"]
    ]
    return table(["cell", "m", "the engine, characters/s", "`Model.sample`, characters/s"], rows)


def serving() -> str:
    """Load tests of the server, and its memory over minutes of load."""
    result = load("serving")
    names = {"steady": "repeatedly", "at_once": "at the same time", "crowd": "at the same time"}
    rows = []
    for name, when in names.items():
        figures, waits = result[name], result[name]["first_character_ms"]
        rows.append(
            [
                f"{figures['clients']} {when}",
                f"{figures['requests']:,}",
                str(figures["lost"]),
                f"{figures['chars_per_second']:,}",
                *(f"{waits[part]:,.0f} ms" for part in ("median", "p99")),
            ]
        )
    header = ["clients", "requests", "lost", "total characters/s", "time to first character, median", "99th percentile"]
    return f"{table(header, rows)}\n\nMeasured on {machine(result)}. {soaked(result['soak'])}"


def soaked(soak: Result) -> str:
    """Describe minutes of load and the memory over that time in a sentence."""
    memory = ", ".join(f"{part:,.0f}" for part in soak["resident_mib_in_sixths"])
    return (
        f"{soak['minutes']:g} minutes of {soak['clients']} clients that stream, request log-probabilities or"
        f" disconnect: {soak['requests']:,} requests, {soak['left']:,} of them disconnected, {soak['lost']} lost; mean"
        f" resident memory in each sixth of the time, in MiB: {memory}."
    )


def live() -> str:
    """The cost of an open dashboard."""
    result = load("live")
    rows = []
    for name, found in result["results"].items():
        taken = found["processor_seconds_a_second"]
        seconds = [f"{statistics.median(found[key]):.2f} s" for key in ("seconds", "seconds_with_page")]
        shares = [f"{100 * share:.1f} %" for share in (found["slower"], *taken.values())]
        rows.append([f"`{name}`", *seconds, *shares])
    header = [
        "preset", "without dashboard", "with dashboard", "slowdown", "CPU: training thread", "CPU: server",
        "CPU: browser",
    ]  # fmt: skip
    says = "medians; the slowdown is that of pairs of consecutive trainings, CPU is the load in percent of one core"
    return f"{table(header, rows)}\n\nMeasured on {machine(result)}; {says}."


ZSTD_DICTIONARY = 29_753
"""Bytes of a thousand lines by zstd -19 with a dictionary from the training text; not by `compression.py`."""


def compression() -> str:
    """The size of a text by runs in every mode and by other compressors, and the speed of the runs."""
    result = load("compression")
    original = result["original"]
    ways: list[tuple[str, int, tuple[float, ...]]] = [(name, size, ()) for name, size in result["peers"].items()]
    ways.append(("the original", original, ()))
    for run in result["runs"]:
        for mode, found in run["modes"].items():
            name = f"`{run['name']}`, {mode}"
            speeds = found["compress_per_second"] / 1000, found["decompress_per_second"] / 1000
            ways.append((name, found["bytes"], speeds))
    rows = [
        [name, f"{size:,}", f"{8 * size / original:.3f}", *([f"{speed:.3g}" for speed in speeds] or ["", ""])]
        for name, size, speeds in sorted(ways, key=lambda way: way[1])
    ]
    header = ["", "bytes", "bits per byte", "compress, kB/s", "decompress, kB/s"]
    return f"{table(header, rows)}\n\nMeasured on {machine(result)}."


def compression_lines() -> str:
    """The size of many small files."""
    result = load("compression")
    sizes = {
        "zstd -19, with a dictionary from the training text †": ZSTD_DICTIONARY,
        "xz -9e": result["lines"]["xz -9e"],
    }
    for run in result["runs"]:
        sizes |= {f"`{run['name']}`, {mode}": size for mode, size in run["lines"].items()}
    return sized(sizes, result["lines"]["original"])


def sized(sizes: dict[str, int], original: int) -> str:
    """Sizes, the smallest first."""
    rows = [
        [name, f"{size:,}", f"{8 * size / original:.3f}", f"{original / size:.2f}"]
        for name, size in sorted({"the original": original, **sizes}.items(), key=lambda item: item[1])
    ]
    return table(["", "bytes", "bits per character", "ratio"], rows)


def compress() -> str:
    """What the default mode and xz make of a long text and of small files, for the guide."""
    result = load("compression")
    run = next(one for one in result["runs"] if one["name"] == "quick")
    texts = (
        (
            "last tenth of tiny Shakespeare",
            result["original"],
            run["modes"]["mixture"]["bytes"],
            result["peers"]["xz -9e"],
        ),
        (
            "its first thousand lines, each in its own file",
            result["lines"]["original"],
            run["lines"]["mixture"],
            result["lines"]["xz -9e"],
        ),
    )
    rows = [[name, *(f"{size / 1000:.1f} kB" for size in sizes)] for name, *sizes in texts]
    return table(["text", "original", "`elman`", "`xz -9e`"], rows)


def installation() -> str:
    """Size of an environment per extra."""
    result = load("installation")
    rows = [
        ["without extras" if extra == "none" else f"`{extra}`", f"{figure['megabytes']:.0f} MB"]
        for extra, figure in result["figures"].items()
    ]
    return f"{table(['extra', 'size'], rows)}\n\nMeasured on {machine(result)}; python {result['machine']['python']}."


def builtin_model() -> str:
    """Files that are compressed without a model of one's own."""
    result = load("builtin_model")
    rows = []
    for name, found in sorted(result["files"].items(), key=lambda item: item[1]["elman"] / item[1]["bytes"]):
        others, size = found["others"], found["elman"]
        sizes = (found["bytes"], size, *others.values())
        ratios = (size / others["xz -9e"], size / others["PPMd, order 6"])
        rows.append([f"`{name}`", *(f"{each:,}" for each in sizes), *(f"{ratio:.2f}" for ratio in ratios)])
    names = next(iter(result["files"].values()))["others"]
    return table(["file", "bytes", "`elman compress`", *names, "× xz", "× PPMd"], rows)


def page() -> str:
    """The pages of runs: size, speed, and agreement with Python."""
    result, rows = load("page"), []
    for one in result["results"]:
        for kind, figures in one["types"].items():
            speed = f"{one['chars_per_processor_second']:,}" if kind == one["weights"] else ""
            rows.append(
                [
                    f"`{one['run']}`, {kind}",
                    f"{figures['megabytes']:.1f} MB",
                    speed,
                    f"{figures['largest_difference']:.0e}",
                    f"{100 * figures['same_order']:.1f} %",
                ]
            )
    header = ["page", "size", "characters/s", "largest difference of a probability", "top five in the same order"]
    return f"{table(header, rows)}\n\nCharacters per second of processor time; {machine(result)}, Chromium."


DECODERS = {
    "greedy": "the recognizer's best path",
    "none": "no language model",
    "KenLM, order 6, in flashlight-text": "KenLM, order 6, in flashlight-text",
    "KenLM, order 12, imported": "KenLM, order 12, imported",
    "counts": "`--preset counts`",
    "network, minute, seeds 1 to 3": "**network, `--preset minute`**",
}
"""The systems of `decoding.py` and `ocr.py` as the page describes them."""


def decoding() -> str:
    """Character error rates of decoding simulated output and the output of a text recognizer."""
    found = [next(one for one in load(name).values() if "systems" in one)["systems"] for name in ("decoding", "ocr")]
    rows = [
        [name, *(f"{100 * one[key]['rate']:.2f} %" if key in one else "" for one in found)]
        for key, name in DECODERS.items()
    ]
    networks = [one["network, minute, seeds 1 to 3"] for one in found]
    fewer = ["{:.0f} % ({:.0f} to {:.0f})".format(*percent(one)).replace("-", "−") for one in networks]
    return table(["", "simulated", "OCR"], [*rows, ["the network's reduction of KenLM's errors", *fewer]])


def percent(system: Result) -> list[float]:
    """How many percent fewer errors a system makes than the baseline, and the interval."""
    return [100 * each for each in (system["fewer"], *system["fewer_interval"])]


TABLES: dict[str, Callable[[], str]] = {
    "speed": speed,
    "speed_short": speed_short,
    "peers": peers,
    "reference_checks": lambda: table(*reference_experiment.checks()),
    "reference_losses": lambda: table(*reference_experiment.losses()),
    "startup": startup,
    "installation": installation,
    "presets": presets,
    "steady": steady,
    "saturation": saturation,
    "vanishing": vanishing,
    "presets_profile": presets_profile,
    "presets_compared": presets_compared,
    "busy": busy,
    "growth": growth,
    "busy_minute": busy_minute,
    "growth_short": growth_short,
    "choose_presets": choose_presets,
    "choose_texts": choose_texts,
    "ngram_prior": ngram_prior,
    "published": lambda: table(*published.losses()),
    "published_molecules": lambda: table(*published.molecules()),
    "published_messages": lambda: table(*published.messages()),
    "published_logs": lambda: table(*published.logs()),
    "sampling": sampling,
    "compression": compression,
    "compression_lines": compression_lines,
    "builtin_model": builtin_model,
    "serving": serving,
    "live": live,
    "page": page,
    "decoding": decoding,
    "compress": compress,
}


def filled(page: str) -> str:
    """Return a page with every marked place filled."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", fill, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if "--check" not in sys.argv:
            path.write_text(filled(text), encoding="utf-8")
        elif text != filled(text):
            sys.exit(f"{path.name} does not say what was measured: run python benchmarks/tables.py")
