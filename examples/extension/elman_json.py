"""The command ``elman parameters`` and the export format ``json``, for Elman."""

from __future__ import annotations

import json

from elman.cli import Json, Run, print_results
from elman.formats import Format, ModelInfo
from elman.model import Model, load

GROUP = "Study"
"""Where ``elman --help`` lists the command."""


def write(model: Model, info: ModelInfo) -> bytes:
    """Return the parameters of a model as nested lists."""
    arrays = {name: array.tolist() for name, array in model.parameters.items()}
    return json.dumps({"alphabet": model.alphabet.characters, "parameters": arrays}).encode()


FORMAT = Format(".json", "JSON", write)


def parameters(run: Run, /, *, as_json: Json = False) -> int:
    """Print the number of parameters of a model."""
    count = sum(array.size for array in load(run).parameters.values())
    print_results({"parameters": count}, as_json, lambda results: print(f"{results['parameters']:,} parameters"))
    return 0
