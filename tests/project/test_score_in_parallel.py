"""The example that scores lines in the processes of Ray, Dask and Spark, each as `elman score` does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.text import Corpus
from support.state import ROOT
from support.training import EXACT, train


@pytest.mark.parametrize(
    ("engine", "package"),
    [
        ("dask", "dask.dataframe"),
        pytest.param("ray", "ray.data", marks=pytest.mark.slow),
        pytest.param("spark", "pyspark.ml.functions", marks=pytest.mark.slow),
    ],
)
def test_the_scores_are_those_of_elman_score(corpus: Corpus, tmp_path: Path, engine: str, package: str) -> None:
    pytest.importorskip(package)
    train(corpus, **EXACT, max_updates=5, out=tmp_path / "run")
    letters, generator = list("It wasdrknomyigh"), np.random.default_rng(1)
    lines = ["".join(generator.choice(letters, 10 + n)) for n in range(12)]  # no two scores are equal
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    scores = elman.LineScorer(tmp_path / "run")(lines)
    rows = sorted(zip(scores["worst5_nats"], scores["worst_column"], lines, strict=True), reverse=True)[:10]
    script = [sys.executable, str(ROOT / "examples" / "score_in_parallel.py"), engine, "run", "lines.txt"]
    done = subprocess.run(script, cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=300)
    assert done.stdout.splitlines() == [f"{nats:.3f}\t{column}\t{line}" for nats, column, line in rows]
