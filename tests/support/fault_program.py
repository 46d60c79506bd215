"""What commands leave if a call of the system on their files fails.

    LD_PRELOAD=SO python -m support.fault_program SO FAULTS [COMMAND …]

`faults.c`, compiled, must be preloaded: it lets one call fail in a process that is forked for each fault. Prints a JSON
object: how many faults were injected, and what was wrong after some of them. `test_writers` has what must hold.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from elman.cli import main
from elman.runs.directory import BEST, CHECKPOINT, RunDirectory
from elman.storage.tensors import read_tensors
from elman.testing.gradcheck import REPORTED
from support.state import TEXT

SMALL = "--engine numpy --hidden-size 3 --seq-length 5 --sample-length 20 --sample-every 10"
SMALL += " --metrics-every 7 --ngram-order 3"
VALIDATED = "--max-updates 9 --validation 0.2 --validate-every 3"
WRITERS = {
    "cache": ["cache --clear"],
    "compress": ["compress novel.txt --model run --out out.elm -q"],
    "course": ["course out", "course out/deeper --student"],
    "decompress": ["decompress novel.elm --model run --out out.txt -q"],
    "ensemble": ["ensemble run other --out out"],
    "explain": ["explain run novel.txt --out out.html"],
    "export": [f"export run out.{suffix}" for suffix in ("npz", "onnx", "safetensors", "arpa", "html", "py")]
    + ["export run out --format hub", "export run old.npz"],
    "import": ["import old.npz --out out"],
    "plot": ["plot run other --out out.png"],
    "report": [f"report novel.txt --out out --epochs 1 --long-epochs 2 --seeds 2 {SMALL} -q"],
    "runs": ["runs rm --yes run"],
    "sweep": [f"sweep novel.txt --out out --trials 2 --space space.toml --preset reference {SMALL} {VALIDATED}"],
    "train": [
        f"train novel.txt --out out --preset reference {SMALL} {VALIDATED} --log jsonl -q",
        f"train novel.txt --out run --preset reference {SMALL} {VALIDATED} --overwrite -q",
        "train novel.txt --out run --resume --max-updates 40 -q",
        "train novel.txt --out out --preset counts --engine numpy --ngram-order 3 -q",
    ],
}
"""Command -> the command lines whose every call is let fail."""
READERS = {"decode", "eval", "gradcheck", "sample", "score", "serve", "view"}
STAGED = ("report", "sweep", "train")
"""Commands that save their progress: a file they leave may be an earlier one than at the end, but is complete."""
APPENDED = ("metrics.csv", "metrics.jsonl", "samples.jsonl", "study.db", "study.db-journal", "workers.log")
"""Files whose last line or transaction may be incomplete; their readers leave that out."""
TIMED = (
    "report.html",
    "report.md",
    "smooth_loss.svg",
    "complete_run.svg",
    "trials.csv",
    "metrics.jsonl",
    "workers.log",
)
ENDINGS = {".html": b"</html>", ".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".md": b"\n", ".csv": b"\n"}
CALLS = ("open", "write", "fsync", "rename", "mkdir", "unlink", "close")  # in the order of `faults.c`
KILL, SHORT = -1, -2
FAULTS = {"EIO": errno.EIO, "EINTR": errno.EINTR, "ENOSPC": errno.ENOSPC, "SIGKILL": KILL}
SECONDS = 120


class Fault(NamedTuple):
    call: str
    number: int  # from 1
    kind: str
    lasts: bool = False  # all later calls fail, too, as on a disk that is full


class Ended(NamedTuple):
    code: int  # negative: the signal that ended it
    err: str
    counts: list[int]  # of each of `CALLS`


def run(shim: ctypes.CDLL, folder: Path, line: str, fault: Fault | None = None) -> Ended:
    """Run a command line in a folder, in a process of its own, with a fault."""
    (notes := folder.with_name("notes")).mkdir(exist_ok=True)
    counts = notes / "counts"
    counts.write_text("[]")
    if not (pid := os.fork()):
        code = 70
        try:
            os.chdir(folder)
            if line.startswith("cache"):
                os.environ |= {"ELMAN_CACHE": "cache", "NUMBA_CACHE_DIR": ""}
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(notes / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            chosen = Fault("", 0, "EIO") if fault is None else fault
            what = SHORT if chosen.kind == "short" else FAULTS[chosen.kind]
            call = CALLS.index(chosen.call) if chosen.call else -1
            shim.fault_arm(os.fsencode(folder), call, ctypes.c_long(chosen.number), what, int(chosen.lasts))
            main(line.split())
        except SystemExit as exit:
            code = int(exit.code or 0)
        except BaseException:
            traceback.print_exc()
        numbers = [shim.fault_count(n) for n in range(len(CALLS))]
        shim.fault_arm(b"", -1, ctypes.c_long(0), 0, 0)
        counts.write_text(json.dumps(numbers))
        os._exit(code)
    end = time.monotonic() + SECONDS
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Ended(-signal.SIGALRM, "it did not end", [])
        time.sleep(0.001)
    return Ended(
        os.waitstatus_to_exitcode(ended[1]), (notes / "err").read_text("utf-8"), json.loads(counts.read_text())
    )


def read_tree(folder: Path) -> dict[str, Any]:
    """Return the contents of all files of a folder by their paths, without what the clock writes."""
    paths = (path for path in sorted(folder.rglob("*")) if path.name != ".lock")
    return {str(path.relative_to(folder)): "folder" if path.is_dir() else read_file(path) for path in paths}


def read_file(path: Path) -> Any:
    """Return the contents of a complete file, or "incomplete"."""
    data = path.read_bytes()
    try:
        if path.name in (CHECKPOINT, BEST):
            text, tensors = read_tensors(path)
            description = json.loads(text)
            for name in ("seconds", "spent"):
                description.get("state", {}).pop(name, None)
            return description, {name: array.tobytes() for name, array in tensors.items()}
        if path.name == "metrics.csv":
            return [line.split(",")[:6] for line in data.decode().splitlines()]
        if path.name == "study.db":
            with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as database:
                return database.execute("pragma integrity_check").fetchall()
        if path.suffix == ".json":
            return without_times(json.loads(data))
    except Exception:
        return "incomplete"
    if not data.rstrip(b"\n").endswith(ENDINGS.get(path.suffix, b"").rstrip(b"\n")):
        return "incomplete"
    return "complete" if path.name in TIMED else data


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        timed = ("seconds", "per_second", "per_update")
        return {key: without_times(each) for key, each in value.items() if not key.endswith(timed)}
    return [*map(without_times, value)] if isinstance(value, list) else value


def list_faults(counts: Sequence[int]) -> Iterator[Fault]:
    """Yield every fault of a command that makes so many of each of `CALLS`."""
    for call, count in zip(CALLS, counts, strict=True):
        for number in range(1, count + 1):
            yield from (Fault(call, number, kind) for kind in FAULTS)
            if call == "write":
                yield Fault(call, number, "short")
            if call in ("open", "write", "mkdir"):
                yield Fault(call, number, "ENOSPC", lasts=True)


class Case:
    """A command line, the files it works on, and what it leaves without a fault."""

    def __init__(self, shim: ctypes.CDLL, line: str, template: Path) -> None:
        self.shim, self.line, self.template = shim, line, template
        self.before = read_tree(template)
        with self.copied() as folder:
            ended = run(shim, folder, line)
            assert ended.code == 0, (line, ended)
            self.after, self.faults = read_tree(folder), [*list_faults(ended.counts)]

    def copied(self) -> Any:
        return _Copy(self.template)

    def inject(self, fault: Fault) -> list[str]:
        """Return what is wrong after a fault, and after the command is run again."""
        with self.copied() as folder:
            ended = run(self.shim, folder, self.line, fault)
            wrong = [*self.judge(ended, read_tree(folder))]
            again = run(self.shim, folder, self.line_again(folder))
            left = read_tree(folder)
            if again.code != 0 and left != self.after:
                wrong.append(f"run again, it ended with {again.code}: {again.err[-300:]}")
            elif left != self.after:
                names = {*left, *self.after}
                wrong.append(f"run again, it left others: {[n for n in names if left.get(n) != self.after.get(n)]}")
        return wrong

    def judge(self, ended: Ended, left: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the end of a command and with what it left."""
        if "Traceback" in ended.err or ended.code not in (0, 2, -signal.SIGKILL):
            yield f"it ended with {ended.code}: {ended.err[-1500:]}"
        elif ended.code == 2 and not ended.err.splitlines()[-1].startswith("error: "):
            yield f"no error: {ended.err[-300:]}"
        if ended.code == 0 and left != self.after:
            names = {*left, *self.after}
            yield f"success, but other files: {[n for n in names if left.get(n) != self.after.get(n)]}"
        is_staged = self.line.split()[0] in STAGED
        for name, content in left.items():
            path = Path(name)
            if path.suffix == ".part" or any(part.startswith(".") for part in path.parts) or path.name in APPENDED:
                continue
            known = [tree[name] for tree in (self.before, self.after) if name in tree]
            if content == "incomplete" or (content not in known and not is_staged):
                yield f"{name} is partial"

    def line_again(self, folder: Path) -> str:
        """Return the command line with which a command goes on."""
        command, *words = self.line.split()
        directory = folder / words[words.index("--out") + 1] if "--out" in words else folder
        is_there = RunDirectory(directory / "run" if command == "report" else directory).holds_run()
        resumes = is_there and command in ("train", "report") and not {"--overwrite", "--resume"} & {*words}
        return self.line + " --resume" * resumes


class _Copy:
    """A copy of the template, which is removed at the end."""

    def __init__(self, template: Path) -> None:
        self.template, self.folder = template, template.with_name("work") / "folder"

    def __enter__(self) -> Path:
        shutil.rmtree(self.folder.parent, ignore_errors=True)
        return Path(shutil.copytree(self.template, self.folder, symlinks=True))

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def write_template(shim: ctypes.CDLL, folder: Path) -> None:
    """Write what the command lines work on."""
    folder.mkdir()
    (folder / "novel.txt").write_text(TEXT * 3, "utf-8")
    (folder / "space.toml").write_text("learning_rate = [0.1, 0.2]\n")
    kernels = folder / "cache" / "kernels-0123456789abcdef"
    kernels.mkdir(parents=True)
    for name in ("a.kernel", "b.kernel"):
        (kernels / name).write_bytes(b"code")
    for line in (
        f"train novel.txt --out run --preset reference {SMALL} --max-updates 20 -q",
        f"train novel.txt --out other --preset reference {SMALL} --max-updates 10 --seed 1 -q",
        "export run old.npz",
        "compress novel.txt --model run --out novel.elm -q",
    ):
        assert (ended := run(shim, folder, line)).code == 0, (line, ended)


def prepare(shim: ctypes.CDLL) -> None:
    """Import what the commands do, and leave out what takes long and writes nothing.

    Trials are trained here, without faults: they are processes of their own, and one whose disk fails has failed.
    """
    import matplotlib.figure  # noqa: F401
    import onnx  # noqa: F401

    from elman.apps.report import pipeline
    from elman.apps.sweep.loop import Workers
    from support.sweeps import train_here

    vars(pipeline)["REPORTED"] = REPORTED[:1]

    def train_without_faults(workers: Workers, trial: Any) -> dict[str, Any]:
        shim.fault_pause(1)
        try:
            return train_here(workers, trial)
        finally:
            shim.fault_pause(0)

    setattr(Workers, "train_once", train_without_faults)  # noqa: B010 (mypy would take it for an override)


def inject_all(shim: ctypes.CDLL, folder: Path, number: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Inject this number of faults, the same in every command line that has so many, or in those of some commands."""
    write_template(shim, folder / "template")
    cases = [Case(shim, line, folder / "template") for name in only or WRITERS for line in WRITERS[name]]
    cases.sort(key=lambda case: len(case.faults))  # those that have few leave more to the others
    drawn, found, injected = random.Random(0), list[Any](), dict[str, int]()
    for n, case in enumerate(cases):
        share = -(-max(0, number - sum(injected.values())) // (len(cases) - n))
        chosen = drawn.sample(case.faults, min(max(1, share), len(case.faults)))
        injected[case.line] = len(chosen)
        print(f"{case.line}: {len(chosen)} of {len(case.faults)}", file=sys.stderr, flush=True)
        for fault in chosen:
            if wrong := case.inject(fault):
                found.append([case.line, fault, wrong])
                print(fault, *wrong, sep="\n    ", file=sys.stderr, flush=True)
    return {"injected": injected, "found": found}


if __name__ == "__main__":
    path, count, *only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        prepare(shim := ctypes.CDLL(path))
        print(json.dumps(inject_all(shim, Path(temporary), int(count), only)))
