"""Try settings: train each for a number of characters, and note the validation loss.

    python benchmarks/recipes.py TEXT --chars 8e6 --out FILE.jsonl '{"hidden_size": 384}' '{"batch_size": 64}' …

Characters and not seconds, so that a busy machine does not change what is found; ``chars_per_second`` of an idle one
says which time budget they are. Settings that are not passed are those of ``--preset``. ``--head`` trains on the
beginning of the text, ``--validation`` is a file or a fraction. Results are appended to FILE, a JSON line each.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import elman
from elman.config import make_config
from elman.text import Corpus, read_corpus


def try_settings(corpus: Corpus, settings: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return what a training with these settings reaches."""
    limits = {"sample_every": 0, "epochs": 1_000_000, "max_seconds": None}
    config = make_config(options.preset, {"validation": options.validation, **limits, **settings})
    # A complete configuration, so that nothing is adapted to the text and the speed of the machine.
    config = replace(config, max_updates=round(options.chars / config.chars_per_update))
    run = elman.train(corpus, config=config, progress=False)
    results = run.results()
    return {
        "text": corpus.name,
        "head": options.head,
        "preset": options.preset,
        "settings": settings,
        "epochs": round(results["epochs"], 2),
        "validation_loss": round(results["validation_loss"], 4),
        "train_loss": round(results["train_loss"], 4),
        "chars_per_second": results["chars_per_second"],
    }


def fraction_or_file(value: str) -> float | str:
    """Return a validation set: a fraction of the text, or a file."""
    try:
        return float(value)
    except ValueError:
        return value


def main() -> None:
    """Try the settings that the command line gives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("settings", nargs="+", type=json.loads)
    parser.add_argument("--chars", type=float, required=True, help="Characters to train on, all passes together.")
    parser.add_argument("--head", type=int, help="Characters of the text to use.")
    parser.add_argument("--preset", default="minute")
    parser.add_argument("--validation", default=0.1, type=fraction_or_file)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    corpus = read_corpus(options.text)
    if options.head:
        corpus = Corpus.from_text(corpus.text[: options.head], corpus.name)
    for settings in options.settings:
        result = json.dumps(try_settings(corpus, settings, options))
        print(result, flush=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(f"{result}\n")


if __name__ == "__main__":
    main()
