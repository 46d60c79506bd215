"""Files of tensors that are not saved by a run."""

import json
from pathlib import Path
from typing import Any

from elman.storage.atomic import replace_file
from elman.storage.tensors import Array, serialize_pieces


def save_tensors(path: Path, description: dict[str, Any], tensors: dict[str, Array]) -> None:
    replace_file(path, serialize_pieces(json.dumps(description), tensors))
