"""Looks for bytes that a loader does not withstand, led by the code that they reach.

    python tests/fuzz.py [TARGET …] [--minutes 5]

Needs atheris (``pip install atheris``, on Linux). The targets stand in ``targets.py``. Each begins from good files and
from what is kept in ``corpus/``; of what it comes by, the least that reaches all the code is kept there. Bytes that a
loader does not withstand are put in ``crashes/`` below the current folder, and the command ends with code 1.
"""

import argparse
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "robustness" / "corpus"


def search(name: str, minutes: float, folder: Path) -> bool:
    """Search for so long, and keep what is new; return whether the loader withstood everything."""
    found, least, crashes = folder / "found", folder / "least", Path("crashes") / name
    from support.fuzz_targets import TARGETS

    for path in (crashes, found, least):
        path.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(TARGETS[name].seeds(folder)):
        (found / f"seed{n}").write_bytes(data)
    if (CORPUS / name).exists():
        shutil.copytree(CORPUS / name, found, dirs_exist_ok=True)
    limits = (f"-max_total_time={round(60 * minutes)}", "-max_len=20000", "-timeout=20", "-rss_limit_mb=1500")
    withstood = child(name, *limits, f"-artifact_prefix={crashes}/", "-print_final_stats=1", found)
    if withstood and child(name, "-set_cover_merge=1", "-use_counters=0", least, found):
        shutil.rmtree(CORPUS / name, ignore_errors=True)
        shutil.copytree(least, CORPUS / name)
    return withstood


def child(name: str, *options: object) -> bool:
    """Have libFuzzer work in a process of its own, which it ends."""
    command = [sys.executable, __file__, f"--child={name}", *map(str, options)]
    return subprocess.run(command, check=False).returncode == 0


def work(name: str, options: list[str]) -> None:
    """Be such a process."""
    import atheris

    with atheris.instrument_imports(include=["elman"]):
        from support.fuzz_targets import TARGETS, feed

    target, folder = TARGETS[name], Path(tempfile.mkdtemp())

    def try_one(data: bytes) -> None:
        feed(target, data, folder)

    def alter(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if target.altered is not None and chance.random() < 0.5:
            try:
                return target.altered(data, chance)[:most]
            except ValueError:
                pass
        return bytes(atheris.Mutate(data, most))

    # To merge, libFuzzer has the shell run what stands first, with other options.
    atheris.Setup([shlex.join([sys.executable, __file__, f"--child={name}"]), *options], try_one, custom_mutator=alter)
    atheris.Fuzz()


def main() -> None:
    """Search for each target in turn."""
    if len(sys.argv) > 1 and sys.argv[1].startswith("--child="):
        work(sys.argv[1].removeprefix("--child="), sys.argv[2:])
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
    sys.exit(f"what did not withstand: {', '.join(failed)}; see crashes/" if failed else 0)


if __name__ == "__main__":
    main()
