"""Score the lines of a file in the processes of another engine: Ray, Dask or Spark.

python examples/score_in_parallel.py ENGINE MODEL FILE [PROCESSES]    ENGINE is ray, dask or spark

Prints the ten most surprising lines. `elman.LineScorer` is sent to the processes as the path of the model, and each
loads it once. One thread per process: the engine shares out the cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # of the processes as well, which inherit it
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import elman

COLUMNS = {"worst5_nats": "float64", "worst_column": "int64"}


def score_with_ray(scorer: elman.LineScorer, path: Path, processes: int) -> list[dict[str, Any]]:
    """Score the lines of a file with Ray Data, in actors that load the model once."""
    import ray

    class Scorer:
        """One process."""

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            scores = scorer(batch["text"].tolist())
            return {"text": batch["text"]} | {name: scores[name] for name in COLUMNS}

    # One more than the actors, which keep theirs, for the tasks that read.
    ray.init(num_cpus=processes + 1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        lines = ray.data.read_text(str(path))
        actors = ray.data.ActorPoolStrategy(size=processes)
        return list(lines.map_batches(Scorer, batch_size=1000, compute=actors).take_all())
    finally:
        ray.shutdown()


def score_with_dask(scorer: elman.LineScorer, path: Path, processes: int) -> list[dict[str, Any]]:
    """Score the lines of a file with Dask, a partition at a time."""
    import dask.dataframe
    import pandas

    def score(part: pandas.DataFrame) -> pandas.DataFrame:
        scores = scorer(part["text"].tolist())
        return part.assign(**{name: scores[name] for name in COLUMNS})

    lines = pandas.DataFrame({"text": path.read_text("utf-8").splitlines()}, dtype=object)
    parts = dask.dataframe.from_pandas(lines, npartitions=4 * processes)
    scored = parts.map_partitions(score, meta={"text": "object", **COLUMNS})
    rows = scored.compute(scheduler="processes", num_workers=processes)
    return list(rows.to_dict("records"))


def score_with_spark(scorer: elman.LineScorer, path: Path, processes: int) -> list[dict[str, Any]]:
    """Score the lines of a file with Spark, which calls the scorer for batches of a column."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DoubleType, LongType, StructField, StructType

    def make_predict() -> Any:
        def predict(texts: Any) -> dict[str, Any]:
            scores = scorer(texts.tolist())
            return {name: scores[name] for name in COLUMNS}

        return predict

    fields = StructType([StructField("worst5_nats", DoubleType()), StructField("worst_column", LongType())])
    score = predict_batch_udf(make_predict, return_type=fields, batch_size=1000)
    with SparkSession.builder.master(f"local[{processes}]").config("spark.ui.enabled", "false").getOrCreate() as spark:
        lines = spark.read.text(str(path)).repartition(processes).withColumnRenamed("value", "text")
        rows = lines.withColumn("scores", score("text")).select("text", "scores.*").collect()
    return [row.asDict() for row in rows]


ENGINES = {"ray": score_with_ray, "dask": score_with_dask, "spark": score_with_spark}


def main(engine: str, model: str, file: str, processes: str = "2") -> Iterator[str]:
    """Yield the ten most surprising lines with their nats per character."""
    rows = ENGINES[engine](elman.LineScorer(model), Path(file), int(processes))
    for row in sorted(rows, key=lambda row: -row["worst5_nats"])[:10]:
        yield f"{row['worst5_nats']:.3f}\t{row['worst_column']}\t{row['text']}"


if __name__ == "__main__":
    print("\n".join(main(*sys.argv[1:])))
