"""The counts alone as a language model: CPU seconds, peak memory, size and bits per character, beside KenLM.

    python benchmarks/counts.py TRAIN TEST [TRAIN TEST …] --orders 5 8 11 --min-counts 1 2 [--kenlm kenlm/build/bin]

The texts are lines. An order is the length of the longest context: KenLM's order is one more. Every model is counted in
a process of its own, whose kernels are compiled before. The peak is that of the process, the size that of a file of
the counts alone. Bits per character are those of the test lines, of which each ends with a line feed.

With the directory of KenLM's programs, KenLM is estimated on the same characters, with a minimum count of 2 as
``--prune 0 1``; it has no size, as its ARPA files are text.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from elman.ngram.counting import count_ngrams
from elman.ngram.language_model import compute_losses
from elman.ngram.model import ngram_tensors
from elman.ngram.table import NgramSpec
from elman.storage.tensors import serialize_tensors
from elman.text import Alphabet


def read_lines(path: Path) -> str:
    """Return the lines of a text that are not empty, each between two line feeds."""
    return "\n" + "".join(f"{line}\n" for line in path.read_text("utf-8").split("\n") if line)


def measure(train: Path, test: Path, order: int, min_count: int) -> dict[str, Any]:
    """Count a text, and return what it took and what it gives."""
    texts = [read_lines(path) for path in (train, test)]
    alphabet = Alphabet("".join(sorted(set(texts[0]))))
    text, held_out = (alphabet.encode(each) for each in texts)
    spec = NgramSpec(len(alphabet), order, alphabet.characters.index("\n"))
    count_ngrams(text[:2000], spec, min_count=min_count)
    start = time.process_time()
    model = count_ngrams(text, spec, min_count=min_count)
    assert model
    cpu, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "counts").write_bytes(b"".join(serialize_tensors("{}", ngram_tensors(model))))
        size = path.stat().st_size / 1e6
    bits = float(compute_losses(model, held_out).mean() / math.log(2))
    return {"program": "elman", "cpu": cpu, "peak": peak, "size": size, "bits": bits}


def measure_kenlm(programs: Path, train: Path, test: Path, order: int, min_count: int) -> dict[str, Any]:
    """Estimate a model of KenLM, and return the same of it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("train", "test", "model")]
        for source, path in zip((train, test), paths, strict=False):
            lines = read_lines(source)[1:].replace(" ", "\x01").split("\n")
            path.write_text("\n".join(" ".join(line) for line in lines).replace("\x01", "<sp>"), "utf-8")
        prune = [] if min_count == 1 else ["--prune", "0", str(min_count - 1)]
        files = ["--text", str(paths[0]), "--arpa", str(paths[2]), "-S", "2G", "-T", folder]
        command = [str(programs / "lmplz"), "-o", str(order + 1), "--discount_fallback", *files, *prune]
        _, _, used = os.wait4(subprocess.Popen(command, stderr=subprocess.DEVNULL).pid, 0)
        with paths[1].open() as file:
            query = subprocess.run([programs / "query", "-v", "summary", paths[2]], stdin=file, capture_output=True)
    perplexity = next(line.split()[-1] for line in query.stdout.split(b"\n") if b"including OOVs" in line)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
    return {"program": "kenlm", "cpu": cpu, "peak": peak, "size": math.nan, "bits": math.log2(float(perplexity))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    for name, default in (("--orders", [5, 8, 11]), ("--min-counts", [1, 2])):
        parser.add_argument(name, type=int, nargs="+", default=default)
    parser.add_argument("--kenlm", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.texts[0], options.texts[1], options.orders[0], options.min_counts[0])))
        return
    print(f"{'text':24}{'order':>6}{'count':>6}  {'program':8}{'CPU s':>7}{'peak GB':>9}{'MB':>8}{'bits':>9}")
    for train, test in zip(options.texts[::2], options.texts[1::2], strict=True):
        for order, min_count in ((n, count) for n in options.orders for count in options.min_counts):
            numbers = "--orders", str(order), "--min-counts", str(min_count)
            command = [sys.executable, __file__, train, test, *numbers, "--one"]
            rows = [json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)]
            rows += [measure_kenlm(options.kenlm, train, test, order, min_count)] if options.kenlm else []
            for row in rows:
                measured = "{program:8}{cpu:7.2f}{peak:9.2f}{size:8.2f}{bits:9.4f}".format(**row)
                print(f"{train.name:24}{order:6}{min_count:6}  {measured}", flush=True)


if __name__ == "__main__":
    main()
