"""Coverage-guided fuzzing of every loader.

    python tests/fuzz.py [TARGET …] [--minutes 5]

Needs atheris (``pip install atheris``, on Linux). The targets are defined in ``support/fuzz_targets.py``. Each starts
from valid files and from the corpus in ``robustness/corpus/``, which is then replaced by a minimal set of inputs with
the same coverage. Inputs that crash a loader are written to ``crashes/`` in the current directory, and the exit code
is 1.
"""

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "robustness" / "corpus"


def search(name: str, minutes: float, folder: Path) -> bool:
    inputs, minimal, crashes = folder / "inputs", folder / "minimal", Path("crashes") / name
    from support.fuzz_targets import TARGETS

    for path in (crashes, inputs, minimal):
        path.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(TARGETS[name].seeds(folder)):
        (inputs / f"seed{n}").write_bytes(data)
    if (CORPUS / name).exists():
        shutil.copytree(CORPUS / name, inputs, dirs_exist_ok=True)
    limits = (f"-max_total_time={round(60 * minutes)}", "-max_len=20000", "-timeout=20", "-rss_limit_mb=1500")
    passed = run_libfuzzer(name, *limits, f"-artifact_prefix={crashes}/", "-print_final_stats=1", inputs)
    if passed and run_libfuzzer(name, "-set_cover_merge=1", "-use_counters=0", minimal, inputs):
        shutil.rmtree(CORPUS / name, ignore_errors=True)
        shutil.copytree(minimal, CORPUS / name)
    return passed


def run_libfuzzer(name: str, *options: object) -> bool:
    command = [sys.executable, __file__, f"--child={name}", *map(str, options)]
    return subprocess.run(command, check=False).returncode == 0


def run_child(name: str, options: list[str]) -> None:
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # Numba cannot compile instrumented functions
    import atheris

    with atheris.instrument_imports(include=["elman"]):
        from support.fuzz_targets import TARGETS, feed

    target, folder = TARGETS[name], Path(tempfile.mkdtemp())

    def try_one(data: bytes) -> None:
        feed(target, data, folder)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if target.mutate is not None and rng.random() < 0.5:
            try:
                return target.mutate(data, rng)[:max_size]
            except ValueError:
                pass
        return bytes(atheris.Mutate(data, max_size))

    # To merge, libFuzzer runs the first argument as a shell command, with other options.
    atheris.Setup([shlex.join([sys.executable, __file__, f"--child={name}"]), *options], try_one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1].startswith("--child="):
        run_child(sys.argv[1].removeprefix("--child="), sys.argv[2:])
    from support.fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], default=[])
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    failed = []
    for name in options.targets or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            if not search(name, options.minutes, Path(folder)):
                failed.append(name)
    sys.exit(f"crashed: {', '.join(failed)}; see crashes/" if failed else 0)


if __name__ == "__main__":
    main()
