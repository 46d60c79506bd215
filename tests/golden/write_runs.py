"""Write the golden files of runs and models, and what is expected of them: ``python tests/golden/write_runs.py``.

The format of these files is promised to stay readable. They are written again only if they cannot stay as they are.
Nothing in them depends on the clock or the machine, except for the last bits of numbers.
"""

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import elman

DATA = Path(__file__).parent / "data"
TEXT = "Over the hills and far away,\nthe rain fell softly all the day.\n" * 8
NAMES = "\n".join(f"{a}{b}{c}" for a in ("an", "be", "car") for b in ("n", "tt", "l") for c in ("a", "e", "ie"))
SMALL: dict[str, Any] = {
    "hidden_size": 4, "seq_length": 8, "engine": "numpy", "metrics_every": 5,
    "sample_every": 10, "sample_length": 20,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "rnn": {"max_updates": 20, "dtype": "float32"},
    "gru": {
        "cell": "gru", "layers": 2, "optimizer": "adam", "learning_rate": 0.01, "ema_decay": 0.9, "validation": 0.2,
        "validate_every": 5, "ngram_order": 4, "ngram_folds": 3, "dropout": 0.2, "max_updates": 20,
        "dtype": "float32",
    },
    "lstm": {"cell": "lstm", "batch_size": 2, "optimizer": "sgd", "learning_rate": 0.1, "lines": True,
        "dtype": "float64", "max_updates": 20,
    },
}  # fmt: skip
"""The runs; each is stopped after `STOPPED` updates, and is to be resumed."""
STOPPED = 15


def read_corpus(name: str) -> elman.Corpus:
    return elman.Corpus.from_text(NAMES if name == "lstm" else TEXT, "hills")


def load_all(folder: Path) -> dict[str, elman.Model]:
    """Return every model in a folder of golden files, by its path."""
    paths = [folder / name for name in (*RUNS, "gru/best.safetensors", "model.safetensors")]
    return {str(path.relative_to(folder)): elman.load(path, engine="numpy") for path in paths}


def expect_of_model(model: elman.Model) -> dict[str, Any]:
    return {
        "alphabet": model.alphabet.characters,
        "sample": model.sample(40, seed=1, temperature=1),
        "nats": model.score("the rain fell\n").nats,
        "sums": {name: float(abs(array).sum()) for name, array in sorted(model.parameters.items())},
    }


def expect_of_run(run: elman.Run) -> dict[str, Any]:
    return {
        "updates": run.state.update,
        "smooth_loss": run.state.smooth_loss,
        "losses": [row.loss for row in run.metrics],
        "samples": [sample.text for sample in run.samples],
    }


def write(folder: Path) -> None:
    seconds = count(step=0.001)
    clock = SimpleNamespace(perf_counter=lambda: next(seconds), monotonic=lambda: 0.0, thread_time=lambda: 0.0)
    machine = {"system": "Linux", "architecture": "x86_64", "processor": "", "cores": 2}
    expected: dict[str, Any] = {"resumed": {}}
    with (
        mock.patch("elman.training.limits.time", clock),
        mock.patch("elman.training.checkpoints.time", clock),
        mock.patch("elman.training.loop.save_plot"),
        mock.patch("elman.runs.directory.describe_machine", return_value=machine),
        mock.patch("elman.runs.directory.list_versions", return_value={"elman": "0.3.0"}),
    ):
        for name, settings in RUNS.items():
            out = folder / name
            options: dict[str, Any] = {"preset": "reference", **SMALL, **settings}
            elman.train(read_corpus(name), out=out, **options, on_update=lambda run: run.state.update >= STOPPED)
            (out / ".lock").unlink()
            expected["resumed"][name] = expect_of_run(elman.train(read_corpus(name), **options))
    elman.load(folder / "gru").save(folder / "model.safetensors")
    expected["models"] = {name: expect_of_model(model) for name, model in load_all(folder).items()}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))  # first: if it fails, the files stay as they are
        shutil.rmtree(DATA, ignore_errors=True)
        shutil.copytree(folder, DATA)
