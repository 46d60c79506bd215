"""Fine-tuning on 50 kB of two texts: from scratch, from a model of the rest of the text, from a model of the other.

    python benchmarks/finetuning.py shakespeare.txt

The other text is `python-docs`. The table is in `benchmarks/NOTES.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import elman
from elman.text import read_corpus

CHARS = 50_000
"""Length of the new text: the end of each text; a model is trained on the rest."""
SOURCE: dict[str, Any] = {"preset": "quick", "max_updates": 900, "sample_every": 0}
NEW: dict[str, Any] = {"preset": "quick", "validation": 0.1, "validate_every": 20, "sample_every": 0}


def main() -> None:
    """Train, fine-tune, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    texts = {"shakespeare": parser.parse_args().text.read_text("utf-8"), "python-docs": read_corpus("python-docs").text}
    sources = {
        name: elman.train(elman.Corpus.from_text(text[:-CHARS], name), **SOURCE).model for name, text in texts.items()
    }
    print("| 50 kB of | start | learning rate | updates | validation loss |\n| --- | --- | --: | --: | --: |")
    for name, text in texts.items():
        new = elman.Corpus.from_text(text[-CHARS:], name)
        unseen = sources[name].score(text[-CHARS // 10 :]).nats_per_char
        print(f"| {name} | the model of the rest, not fine-tuned | | | {unseen:.3f} |", flush=True)
        starts = {"from scratch": None} | {f"model of {other}": model for other, model in sources.items()}
        for start, model in starts.items():
            for rate in (0.01, 0.003):
                for updates in (100, 300):
                    run = elman.train(new, init_from=model, learning_rate=rate, max_updates=updates, **NEW)
                    print(f"| {name} | {start} | {rate} | {updates} | {run.validation_loss:.3f} |", flush=True)


if __name__ == "__main__":
    main()
