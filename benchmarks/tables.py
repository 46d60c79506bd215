"""Write the tables of README.md, NOTES.md and docs/ from benchmarks/results. With --check, only compare."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "NOTES.md",
    ROOT / "docs" / "explanation" / "performance.md",
    ROOT / "docs" / "explanation" / "recipes.md",
    ROOT / "docs" / "how_to" / "built_in_model.md",
    ROOT / "docs" / "how_to" / "compress_files.md",
    ROOT / "docs" / "how_to" / "monitor_training.md",
    ROOT / "docs" / "how_to" / "serve.md",
    ROOT / "docs" / "tutorials" / "from_recurrence_to_network.md",
)

Result = dict[str, Any]


def load(name: str) -> Result:
    """Return one file of results."""
    result: Result = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return result


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def speed() -> str:
    """Elman and its peers at the reference setting."""
    result = load("speed")
    figures = result["results"][0]["figures"]
    elman = figures["Elman float32"]
    rows = []
    for name, figure in sorted(figures.items(), key=lambda item: float(item[1]["microseconds"])):
        ratio = figure["microseconds"] / elman["microseconds"]
        floor = figure["microseconds"] / elman["floor_microseconds"]
        rows.append([name, f"{figure['microseconds']:,.0f} µs", f"{ratio:.1f}", f"{floor:.1f}"])
    header = ["one update, m = 100, T = 25, K = 76", "time", "× Elman", "× floor"]
    return f"{table(header, rows)}\n\n{measured_on(result, figures)}"


def measured_on(result: Result, figures: dict[str, Result]) -> str:
    """The machine and the versions, as a sentence."""
    versions = {name: version for figure in figures.values() for name, version in figure["versions"].items()}
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"Measured on {machine(result)}; {named}."


def machine(result: Result) -> str:
    """The machine of a result, in words."""
    about = result["machine"]
    return f"{about['cores']} cores of {about['processor']} ({about['system'].split('-')[0]})"


def curve() -> str:
    """The ratio to the floor, and that of JAX to Elman, over many sizes."""
    rows = []
    for point in load("curve")["results"]:
        sizes, figures = point["sizes"], point["figures"]
        elman, jax = figures["Elman float32"], figures.get("JAX, 1 thread")
        over = "" if jax is None else f"{jax['microseconds'] / elman['microseconds']:.1f}"
        floor = elman["microseconds"] / elman["floor_microseconds"]
        both = figures.get("Elman float32, 2 threads")
        on_both = "" if both is None else f"{both['microseconds'] / both['floor_microseconds']:.2f}"
        numbers = [str(sizes[name]) for name in ("m", "T", "K")]
        rows.append([*numbers, f"{elman['microseconds']:,.1f}", f"{floor:.2f}", on_both, over])
    header = ["m", "T", "K", "µs per update, one thread", "× floor", "× floor, 2 threads", "JAX × one thread"]
    return table(header, rows)


def startup() -> str:
    """Start-up and end-to-end times."""
    figures = load("startup")["figures"]
    losses = list(figures["minimum_smooth_losses"].values())
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
        ["minimum smooth loss after ten epochs, seed 400 (nats per window of 25 characters)", f"{losses[0]:.2f}"],
        ["the same over five seeds", f"{min(losses):.2f} to {max(losses):.2f}"],
    ]
    return table(["", ""], rows)


def throughput() -> str:
    """Training of an LSTM and a GRU of 256 units with batch size 32, beside PyTorch."""
    return throughput_table("throughput")


def throughput_curve() -> str:
    """The same over hidden sizes and batch sizes."""
    return throughput_table("throughput_curve")


def throughput_table(name: str) -> str:
    """Thousands of characters per second in training, the share of sgemm, and the speeds of PyTorch and JAX."""

    def thousands(rate: float) -> str:
        return f"{rate / 1000:,.0f}" if rate >= 100_000 else f"{rate / 1000:.1f}"

    result = load(name)
    rows = []
    for point in result["results"]:
        beside = []
        for peer in ("torch", "jax"):
            theirs = point.get(f"{peer}_chars_per_second")
            beside += [thousands(theirs), f"{point[f'times_{peer}']:.2f}"] if theirs else ["", ""]
        share = f"{100 * point['share_of_sgemm']:.0f} %"
        rows.append(
            [point["cell"], str(point["m"]), str(point["B"]), thousands(point["chars_per_second"]), share, *beside]
        )
    header = ["cell", "m", "batch size", "Elman", "% of peak sgemm", "PyTorch", "× PyTorch", "JAX", "× JAX"]
    measured = f"Thousands of characters per second, measured on {machine(result)}, T = {result['results'][0]['T']}."
    return f"{table(header, rows)}\n\n{measured}"


def presets() -> str:
    """What each preset reaches, and how long the whole command takes: medians over the seeds."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for point in load("presets")["results"]:
        groups.setdefault((point["text"], point["preset"]), []).append(point)
    rows = []
    for (text, preset), points in sorted(groups.items(), key=lambda one: (one[0][0], one[1][0]["whole_seconds"])):
        losses, seconds, rates = (
            [point[key] for point in points] for key in ("validation_loss", "whole_seconds", "chars_per_second")
        )
        spread = f" ({min(losses):.3f} to {max(losses):.3f}, {len(losses)} seeds)" if len(losses) > 1 else ""
        rows.append(
            [
                f"`{preset}`",
                text,
                f"{statistics.median(losses):.3f}{spread}",
                f"{statistics.median(seconds):.1f} s",
                f"{round(statistics.median(rates)):,}",
            ]
        )
    return table(["preset", "text", "validation loss", "whole command", "characters/s in training"], rows)


def peers() -> str:
    """The validation loss of the presets and of peers on Shakespeare, by seconds of training."""
    return _peers("shakespeare.txt")


def peers_python_docs() -> str:
    """The same on the documentation of Python."""
    return _peers("python-docs.txt")


def peers_kjv() -> str:
    """The same on the King James Bible."""
    return _peers("kjv.txt")


def _peers(text: str) -> str:
    result = load("peers")
    cells: dict[str, dict[int, str]] = {}
    for point in result["results"]:
        if point["text"] != text:
            continue
        took = f" ({point['seconds']:.0f} s)" if point["seconds"] > 1.05 * point["budget"] else ""
        cells.setdefault(point["name"], {})[point["budget"]] = f"{point['loss']:.3f}{took}"
    budgets = sorted({budget for found in cells.values() for budget in found})
    rows = [[name, *(found.get(budget, "") for budget in budgets)] for name, found in cells.items()]
    versions = {point["versions"]["torch"] for point in result["results"] if "versions" in point}
    header = [f"validation loss on {text}, nats per character", *(f"{budget} s" for budget in budgets)]
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


TABLES: dict[str, Callable[[], str]] = {
    "speed": speed,
    "peers": peers,
    "peers_python_docs": peers_python_docs,
    "peers_kjv": peers_kjv,
    "curve": curve,
    "startup": startup,
    "installation": installation,
    "presets": presets,
    "steady": steady,
    "saturation": saturation,
    "vanishing": vanishing,
    "throughput": throughput,
    "throughput_curve": throughput_curve,
    "sampling": sampling,
    "compression": compression,
    "compression_lines": compression_lines,
    "builtin_model": builtin_model,
    "serving": serving,
    "live": live,
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
