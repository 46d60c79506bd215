"""Files of tensors that are not saved by a run."""

import json
from pathlib import Path
from typing import Any

from elman.storage.files import replace_file
from elman.storage.tensors import Array, serialize_tensors


def save_tensors(path: Path, description: dict[str, Any], tensors: dict[str, Array]) -> None:
    replace_file(path, serialize_tensors(json.dumps(description), tensors))
