"""A sampling option is two changes, those that CONTRIBUTING names: here those of a toy option."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import linked_cache
from support.state import ROOT

FILTER = """
def filter_toy(p: Probabilities, toy: float) -> None:
    p[p <= toy] = 0


@dataclass(frozen=True)
class SamplingOption:"""
FIELD = """
    toy: float = _option(
        0.0, "Exclude characters as likely as this or less; 0 turns it off.", label="Toy", example=0.1,
        filter=filter_toy, maximum=1, step=0.1,
    )

    def probabilities("""
EDITS = {
    "network/sampling.py": [
        ("\n@dataclass(frozen=True)\nclass SamplingOption:", FILTER),
        ("\n    def probabilities(", FIELD),
        ("    ngram_weight: float\n\n", "    ngram_weight: float\n    toy: float\n\n"),
    ],
    "formats/page/static/sampling.js": [("const FILTERS = {\n", "const FILTERS = {\n  toy: (p, least) => {},\n")],
}
CHECK = """
import numpy as np

from elman.cli import app
from elman.engine import get_engine
from elman.network import SamplingParams
from elman.apps.serve.app import describe_app
from elman.apps.serve.settings import Settings
from support.random_model import random_model
from support.state import generate

model = random_model("abcdefg")
assert "* `--toy FLOAT`: Exclude characters as likely as this or less; 0 turns it off." in app.generate_docs()
assert model.sample(50, seed=1, toy=0.1) != model.sample(50, seed=1)
schemas = describe_app({"a": model}, Settings())["components"]["schemas"]
toy = schemas["CompletionRequest"]["properties"]["toy"]["anyOf"][0]
assert toy == {"type": "number", "minimum": 0, "maximum": 1}
uniforms, sampling = np.random.default_rng(1).random(50), SamplingParams(toy=0.1)
texts = [
    generate(get_engine(name), model.parameters, model.state, 0, uniforms, sampling)
    for name in ("numba", "numpy")
]
np.testing.assert_array_equal(texts[0][0], texts[1][0])
print("checked")
"""


@pytest.mark.slow  # compiles the kernels that sample; .ci/run has it
def test_a_toy_option_needs_only_the_files_that_the_line_names(tmp_path: Path) -> None:
    package = tmp_path / "elman"
    shutil.copytree(ROOT / "src/elman", package, ignore=shutil.ignore_patterns("__pycache__"))
    (recipe,) = re.findall(r"^\| sampling option \|.*", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    for name, edits in EDITS.items():
        assert f"`{name}`" in recipe
        source = (package / name).read_text("utf-8")
        for old, new in edits:
            assert source.count(old) == 1
            source = source.replace(old, new)
        (package / name).write_text(source, "utf-8")
    environment = {
        **os.environ,
        "ELMAN_CACHE": str(linked_cache(tmp_path)),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "checked\n", ended.stderr
