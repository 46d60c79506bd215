"""lm-eval as a client: it computes the same score of a text over HTTP as Elman does itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.server import NAME, serving, tiny
from support.state import TEXT

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'lm_eval[api]'")

STORY = TEXT * 20
"""The text to score: 1,540 characters."""

TASK = """
task: story
dataset_path: json
dataset_kwargs:
  data_files: {{"test": "{data}"}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
  - metric: byte_perplexity
metadata:
  version: 1
"""

EVALUATE = """
import json, sys
import lm_eval
from lm_eval.tasks import TaskManager

url, model, folder, backend = sys.argv[1:]
found = lm_eval.simple_evaluate(
    model="local-completions",
    model_args={
        "base_url": url, "model": model, "tokenizer_backend": backend, "max_length": 100_000, "max_retries": 1,
        "tokenized_requests": backend == "auto",
    },
    tasks=["story"],
    task_manager=TaskManager(include_path=folder, include_defaults=False),
    bootstrap_iters=0,
)
print(json.dumps(found["results"]["story"]))
"""


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server that knows the letters of ``test``, with which lm-eval probes the tokenizer."""
    with serving(max_characters=10_000) as client:
        yield client


@pytest.mark.parametrize("backend", ["auto", "remote"])
def test_it_finds_the_figure_that_elman_finds(client: httpx.Client, tmp_path: Path, backend: str) -> None:
    (tmp_path / "story.jsonl").write_text(json.dumps({"text": STORY}) + "\n", "utf-8")
    (tmp_path / "story.yaml").write_text(TASK.format(data=tmp_path / "story.jsonl"), "utf-8")
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", EVALUATE, f"{client.base_url}/v1/completions", NAME, str(tmp_path), backend]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    # A line feed is read before the text, as lm-eval wants every character predicted.
    expected = tiny().score("\n" + STORY)
    assert expected.chars == len(STORY)
    assert found["bits_per_byte,none"] == pytest.approx(expected.bits_per_char, rel=1e-9)
    assert found["byte_perplexity,none"] == pytest.approx(expected.perplexity, rel=1e-9)
