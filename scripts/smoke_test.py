"""Install a wheel or an sdist in empty environments, once alone and once with each extra, and use it there.

    python scripts/smoke_test.py dist/elman-0.3.0-py3-none-any.whl
    python scripts/smoke_test.py dist/elman-0.3.0-py3-none-any.whl none serve

Requires a package index.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

TEXT = "It was a dark and stormy night; the rain fell in torrents.\n" * 40
TRAIN = ("train", "text.txt", "-o", "run", "--preset", "reference", "--hidden-size", "4", "--max-updates", "50")
HINT = "pip install 'elman[plot]'"


class Installation:
    """An empty environment, `folder`/env, with a distribution and an extra; commands run in `folder`.

    Parameters
    ----------
    folder : Path
    distribution : Path
    extra : str
        Empty for none.
    constraints : Path, optional
        A file with versions of dependencies.
    """

    def __init__(self, folder: Path, distribution: Path, extra: str, constraints: Path | None) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        self.programs = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        requirement = f"{distribution.resolve()}[{extra}]" if extra else str(distribution.resolve())
        versions = [] if constraints is None else ["--constraint", str(constraints.resolve())]
        self.run("python", "-m", "pip", "install", "--quiet", requirement, *versions)
        self.run("python", "-m", "pip", "check")

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program of the environment."""
        return subprocess.Popen(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a program of the environment, which must exit with this code; return standard output and error."""
        process = self.start(program, *arguments)
        out, err = process.communicate()
        if process.returncode != code:
            raise SystemExit(f"{program} {' '.join(arguments)} exited with {process.returncode}:\n{out}{err}")
        return out, err


def require(condition: bool, message: str) -> None:
    """Stop if a condition is false."""
    if not condition:
        raise SystemExit(message)


def use_core(installation: Installation) -> None:
    """Train, check gradients, sample, evaluate and compress."""
    installation.run("elman", *TRAIN)
    installation.run("elman", "gradcheck", "text.txt", "--hidden-size", "4", "--seq-length", "5", "--points", "10")
    sample, _ = installation.run("elman", "sample", "run", "--length", "30")
    require(len(sample) == 31, f"the sample has another length: {sample!r}")
    losses, _ = installation.run("elman", "eval", "run", "text.txt", "--json")
    require("nats_per_char" in losses, f"eval prints no loss: {losses}")
    installation.run("elman", "compress", "text.txt", "-m", "run", "-o", "text.elm")
    installation.run("elman", "decompress", "text.elm", "-m", "run", "-o", "again.txt")
    require((installation.folder / "again.txt").read_text(encoding="utf-8") == TEXT, "decompress gives another text")


def use_none(installation: Installation) -> None:
    """Check that commands that draw name the extra they need, and that everything else works."""
    require(HINT in installation.run("elman", *TRAIN, "--overwrite")[1], "train does not say how to get the plot")
    for arguments in (("plot", "run"), ("report", "text.txt", "-o", "report")):
        _, error = installation.run("elman", *arguments, code=2)
        require(HINT in error, f"elman {arguments[0]} does not name the extra: {error}")


def use_plot(installation: Installation) -> None:
    """Check the plot of the training run, and draw another one."""
    require((installation.folder / "run" / "smooth_loss.png").exists(), "train drew no plot")
    installation.run("elman", "plot", "run", "-o", "curve.svg")


def use_serve(installation: Installation) -> None:
    """Start the server, request a completion, and stop it."""
    process = installation.start("elman", "serve", "run", "--port", "0")
    try:
        assert process.stdout is not None
        address = re.search(r"at (http://\S+) ", process.stdout.readline())
        require(address is not None, "the server does not print its address")
        assert address is not None
        body = json.dumps({"model": "run", "prompt": "It was ", "max_tokens": 9}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address[1]}/v1/completions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            require(len(json.load(response)["choices"][0]["text"]) == 9, "the completion has another length")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def use_export(installation: Installation) -> None:
    """Export the model to ONNX and import it."""
    installation.run("elman", "export", "run", "model.onnx")
    installation.run("elman", "import", "model.onnx", "imported")


def use_hub(installation: Installation) -> None:
    """Name a model of the Hub without a network."""
    installation.environment["HF_HUB_OFFLINE"] = "1"
    _, error = installation.run("elman", "sample", "hf://elman/none", code=2)
    require("cannot be reached" in error, f"the client of the Hub does not work: {error}")


def use_all(installation: Installation) -> None:
    """Use each of them, and log for TensorBoard."""
    for use in (use_plot, use_serve, use_export, use_hub):
        use(installation)
    installation.run("elman", *TRAIN, "--overwrite", "--log", "tensorboard")
    require(any((installation.folder / "run" / "tensorboard").iterdir()), "there is no log for TensorBoard")


EXTRAS: dict[str, Callable[[Installation], None]] = {
    "none": use_none,
    "plot": use_plot,
    "serve": use_serve,
    "export": use_export,
    "hub": use_hub,
    "all": use_all,
}
"""The functions that are tried with each extra."""


def main() -> None:
    """Try each installation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("distribution", type=Path, help="a wheel or an sdist")
    parser.add_argument("extras", nargs="*", default=list(EXTRAS), help=f"some of {', '.join(EXTRAS)} (default: all)")
    parser.add_argument("--constraint", type=Path, help="a file with versions of dependencies, for pip")
    given = parser.parse_args()
    for extra in given.extras:
        with tempfile.TemporaryDirectory() as folder:
            name = "" if extra == "none" else extra
            installation = Installation(Path(folder), given.distribution, name, given.constraint)
            use_core(installation)
            EXTRAS[extra](installation)
        print(f"works with extra {extra}", flush=True)


if __name__ == "__main__":
    main()
