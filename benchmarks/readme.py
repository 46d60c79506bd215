"""What README and the page about anomalies print of files that are not in the repository.

    curl -LO https://raw.githubusercontent.com/karpathy/makemore/master/names.txt
    git clone --depth 1 https://github.com/logpai/loghub
    python benchmarks/readme.py names.txt loghub/BGL/BGL_2k.log

Runs the first `sh` blocks of the pages that name these files, without their downloads, and writes what they print to
``benchmarks/results/readme.json``; `figures.py` compares the pages with it. The names differ from run to run.
Each block runs twice; for the first run, the kernel cache is empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import machine

HERE = Path(__file__).parent
PAGES = {"names": "README.md", "log": "docs/how_to/find_anomalies.md"}
"""Name of a result -> the page whose block with the name of the file is run."""


def read_block(page: str, file: str) -> str:
    """Return the commands of the block that names a file, which is already there."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (HERE.parent / page).read_text("utf-8"), re.M | re.S)
    (block,) = (block for block in blocks if file in block)
    return "".join(row for row in block.splitlines(keepends=True) if not row.startswith(("curl", "git")))


def run(page: str, file: Path, environment: dict[str, str]) -> tuple[str, float]:
    """Return what the commands print, and their duration in seconds."""
    with tempfile.TemporaryDirectory() as name:
        block, folder = read_block(page, file.name), Path(name)
        place = re.search(rf"[\w/]*{re.escape(file.name)}", block)
        assert place is not None
        (folder / place[0]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / place[0])
        start = time.perf_counter()
        command = ["bash", "-c", f"set -o errexit\n{block}"]
        printed = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    if printed.returncode not in (0, 1):  # 1 if `elman score --threshold` flags a line
        raise SystemExit(f"the commands of {page} ended with {printed.returncode}")
    return printed.stdout.decode(), time.perf_counter() - start


def measure(page: str, file: Path) -> dict[str, Any]:
    """Return what the second run prints, the duration of both, and the SHA-256 of the file."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"PATH": path, "ELMAN_CACHE": cache}
        (_, first), (output, second) = (run(page, file, environment) for _ in range(2))
    seconds = {"first_seconds": round(first, 1), "seconds": round(second, 1)}
    return {"page": page, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **seconds, "output": output}


def main() -> None:
    """Run, print and write."""
    results = {name: measure(page, Path(file)) for (name, page), file in zip(PAGES.items(), sys.argv[1:], strict=True)}
    text = json.dumps({"machine": machine(), **results}, indent=1, ensure_ascii=False) + "\n"
    print(text, end="")
    (HERE / "results" / "readme.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
