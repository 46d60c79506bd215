"""What each preset reaches on texts kept aside, and how long the whole command takes, from start to exit.

    python benchmarks/presets.py TEXT… [--presets quick minute strong long] [--random-states 400 1 2]

The last tenth of every text is kept aside; losses are mean nats a character, scored whole with the state carried
through. Kernels are compiled before the clock starts. Results go to ``benchmarks/results/presets.json``, beside those
of other presets and texts there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "presets.json"


def train(text: str, out: str, *options: str) -> tuple[dict[str, Any], float]:
    """Run the command; return what it printed and the seconds it took."""
    command = [str(Path(sys.executable).with_name("elman")), "train", text, "--out", out, "--json", *options]
    began = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took = time.perf_counter() - began
    results: dict[str, Any] = json.loads(output)
    return results, took


def measured(text: str, preset: str, *options: str) -> dict[str, Any]:
    """Return the figures of one preset on one text."""
    given = ["--preset", preset, "--validation", "0.1", *options]
    with tempfile.TemporaryDirectory() as folder:
        train(text, f"{folder}/compiled", *given, "--max-updates", "10", "--validate-every", "0")
        results, took = train(text, f"{folder}/run", *given)
    return {
        "text": Path(text).name,
        "validation_loss": round(results["validation_loss"], 4),
        "whole_seconds": round(took, 1),
        "update_seconds": results["seconds"],
        "updates": results["updates"],
        "epochs": results["epochs"],
        "chars_per_second": results["chars_per_second"],
        "advice": results["advice"],
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--presets", nargs="*", default=["quick", "minute", "strong"])
    parser.add_argument("--random-states", nargs="*", type=int, default=[400])
    options = parser.parse_args()
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else []
    from speed import machine

    for text in options.texts:
        for preset in options.presets:
            for state in options.random_states:
                result = {"preset": preset, "random_state": state}
                result |= measured(text, preset, "--random-state", str(state))
                print(result, flush=True)
                same = ("preset", "random_state", "text")
                kept = [one for one in kept if any(one[key] != result[key] for key in same)] + [result]
                RESULTS.write_text(
                    json.dumps({"machine": machine(), "results": kept}, indent=1) + "\n", encoding="utf-8"
                )


if __name__ == "__main__":
    main()
