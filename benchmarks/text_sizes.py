"""Startup time and memory for texts of different sizes; each row is a separate process.

python benchmarks/text_sizes.py [MEGABYTES ...]     default: 1 2000; needs as much disk space again in the cache
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TRAIN = """
import json, resource, sys, time
began = time.perf_counter()
import elman
class Starts(elman.TrainingCallback):
    at = 0.0
    def on_progress(self, run, updates):
        self.at = self.at or time.perf_counter() - began
starts = Starts()
options = {"min_count": int(sys.argv[2]), "max_updates": 1000, "sample_every": 0}
run = elman.train(sys.argv[1], preset="reference", callback=starts, **options)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
print(json.dumps([len(run.corpus.alphabet), len(run.corpus.indices), starts.at, peak]))
"""


def texts() -> Iterator[tuple[str, str]]:
    """Yield kinds of text: ASCII, almost ASCII, and one of 1,602 characters, half of which take three bytes."""
    from pydoc_data.topics import topics

    plain = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "ignore").decode()
    yield "ASCII", plain
    yield "curly quotes", plain.replace('"', "\u201c").replace("'", "\u2019")
    wide = [chr(0x4E00 + n * 7 % 3000) if n % 2 else character for n, character in enumerate(plain[:500_000])]
    yield "half Chinese", "".join(wide)


def write(path: Path, text: str, megabytes: int) -> None:
    """Write complete copies of a text up to a size."""
    data = text.encode()[: None if megabytes > 10 else megabytes * 1_000_000].decode(errors="ignore").encode()
    with path.open("wb") as file:
        while file.tell() < megabytes * 1_000_000:
            file.write(data)


def main() -> None:
    """Print the table."""
    sizes = [int(size) for size in sys.argv[1:]] or [1, 2000]
    print(f"Python {platform.python_version()}, {platform.processor() or platform.machine()}\n")
    print(
        "| text | MB | `--min-count` | alphabet size | characters | first updates, s | peak memory, MB |\n"
        "|---|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        for kind, text in texts():
            for megabytes in sizes:
                write(path, text, megabytes)
                for min_count in (0, megabytes * 1000) if kind == "ASCII" else (0,):
                    done = subprocess.run(
                        [sys.executable, "-c", _TRAIN, path, str(min_count)], stdout=subprocess.PIPE, check=True
                    )
                    K, chars, seconds, peak = json.loads(done.stdout)
                    print(
                        f"| {kind} | {megabytes} | {min_count} | {K} | {chars:,} | {seconds:.1f} | {peak:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
