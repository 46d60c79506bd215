"""What README and the page about anomalies print of files that are not in the repository; how long `elman report` runs.

    curl -LO https://raw.githubusercontent.com/karpathy/makemore/master/names.txt
    git clone --depth 1 https://github.com/logpai/loghub
    python benchmarks/readme.py names.txt loghub/BGL/BGL_2k.log

Runs the first `sh` blocks of the pages that name these files, without their downloads, and writes what they print to
``benchmarks/results/readme.json``; `figures.py` compares the pages with it. The names differ from run to run.
Each block runs twice; for the first run, the kernel cache is empty. The log's block runs once more per seed, to count
the lines that the threshold flags, and the alerts among them. A file given as ``-`` keeps its stored result. `elman
report` runs once, with an empty cache.
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
RESULTS = HERE / "results" / "readme.json"
SEEDS = (400, 1, 2, 3, 4, 5, 6, 7, 8, 9)


def read_block(page: str, file: str) -> str:
    """Return the commands of the block that names a file, which is already there."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (HERE.parent / page).read_text("utf-8"), re.M | re.S)
    (block,) = (block for block in blocks if file in block)
    return "".join(row for row in block.splitlines(keepends=True) if not row.startswith(("curl", "git")))


def run(block: str, page: str, file: Path, environment: dict[str, str]) -> tuple[str, float]:
    """Return what the commands print, and their duration in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
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
        block = read_block(page, file.name)
        (_, first), (output, second) = (run(block, page, file, environment) for _ in range(2))
    seconds = {"first_seconds": round(first, 1), "seconds": round(second, 1)}
    return {"page": page, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **seconds, "output": output}


def count_flags(seed: int, file: Path) -> dict[str, int]:
    """Return how many lines of the log, and how many of its alerts, are flagged after training with this seed."""
    page = PAGES["log"]
    block = read_block(page, file.name).replace("elman train", f"elman train --seed {seed}").replace(" --top 2", "")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    labels = "tail -n 1000 shuffled.log | cut -d' ' -f1\n"
    output, _ = run(f"{block.rstrip()} || true\n{labels}", page, file, os.environ | {"PATH": path})
    *_, rows = output.partition("line\tscore\tabove")
    scored, labelled = rows.splitlines()[1:-1000], rows.splitlines()[-1000:]
    assert len(scored) == len(labelled) == 1000
    flags = [row.split("\t")[2] == "true" for row in scored]
    alerts = [label != "-" for label in labelled]
    both = sum(flag and alert for flag, alert in zip(flags, alerts, strict=True))
    return {"seed": seed, "flagged": sum(flags), "alerts": sum(alerts), "alerts_flagged": both}


def time_report() -> float:
    """Return the duration of `elman report` in seconds, compilation included."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "elman", "report", "--out", f"{name}/report"]
        start = time.perf_counter()
        subprocess.run(command, env=os.environ | {"ELMAN_CACHE": f"{name}/cache"}, check=True)
        return round(time.perf_counter() - start, 1)


def main() -> None:
    """Run, print and write."""
    given = {name: Path(file) for name, file in zip(PAGES, sys.argv[1:], strict=True) if file != "-"}
    results = json.loads(RESULTS.read_text("utf-8"))
    results |= {name: measure(PAGES[name], file) for name, file in given.items()}
    if "log" in given:
        results["log"]["flags"] = [count_flags(seed, given["log"]) for seed in SEEDS]
    results["report_seconds"] = time_report()
    text = json.dumps(results | {"machine": machine()}, indent=1, ensure_ascii=False) + "\n"
    print(text, end="")
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
