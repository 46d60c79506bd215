"""Trained models: read from a directory, a file of weights, this package or the Hugging Face Hub, and written."""

from __future__ import annotations

import hashlib
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from elman.engine import get_engine
from elman.engine_registry import inference_engine
from elman.errors import ElmanError, check_type, is_path, join_command, quote
from elman.model.model import Model
from elman.network.bptt import begin_text
from elman.ngram.model import ngram_tensors
from elman.plugins import Registry
from elman.runs.checkpoint import load_checkpoint, load_network
from elman.runs.snapshot import BEST, CHECKPOINT, Snapshot, save_network
from elman.storage import exists, is_directory, make_absolute, real_path
from elman.storage.tensors import is_named_or_begins_like_tensors

DOWNLOADS = Registry[Callable[[str], Path]]("elman.downloads")  # functions that download a model, by URL scheme
BUILTIN = "builtin"  # names the newest built-in model where a run is expected

HUB_WEIGHTS = "model.safetensors"
"""The file of weights in a repository of the Hugging Face Hub, or in the folder that is uploaded to one."""
MAX_SHOWN = 3  # maximum number of runs that an error names


def load(path: str | os.PathLike[str], *, engine: str | None = None) -> Model:
    """Load a trained model from a directory, a file of weights or the Hugging Face Hub, or the built-in model.

    A run directory's model is the network with the lowest validation loss, or the last one if nothing was held out.

    Parameters
    ----------
    path : str or path
        A run directory, one of its two files of weights, or a folder written by ``elman export --format hub``.
        ``hf://OWNER/NAME`` is a repository of the Hugging Face Hub, ``hf://OWNER/NAME@REVISION`` a branch, a tag or a
        commit of it, which requires the extra ``hub``. ``builtin`` is Elman's built-in model unless a file has that
        name.
    engine : str, optional
        One of `elman.engine_registry.ENGINES`; by default the engine it was trained with, or ``numba`` for ``torch``.

    Raises
    ------
    ElmanError
        If there is no model, or it is truncated or altered, or cannot be downloaded.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> elman.load("runs/cats")
    <Model: 1 x rnn 16, 11 characters, float64, numpy>
    """
    check_type("engine", engine, "str | None")
    return create_model(read_model(path), engine)


def hub_name(path: object) -> str:
    """Return the name, ``hf://OWNER/NAME@REVISION``, of a model on the Hugging Face Hub; empty for any other path."""
    if not is_path(path):
        raise ElmanError(f"a model is loaded from a path, such as 'runs/novel' (got {quote(path)})")
    name = Path(path).as_posix()  # a path has one slash where a URL has two
    return f"hf://{name.removeprefix('hf:/')}" if name.startswith("hf:/") else ""


def is_builtin(path: Path) -> bool:
    """Return whether a path names the built-in model: a file or directory of this name takes precedence."""
    return path == Path(BUILTIN) and not exists(path)


def locate_model(path: str | os.PathLike[str]) -> str:
    """Return a path that is valid in any directory: absolute, or the name of a Hub model or the built-in model."""
    return hub_name(path) or (BUILTIN if is_builtin(Path(path)) else make_absolute(path))


def name_model(run: Path) -> str:
    """Return the name of a model: of its run, of its file without the suffix, of its repository, or ``builtin``."""
    if is_builtin(run):
        return BUILTIN
    if on_hub := hub_name(run):
        return on_hub.partition("@")[0].rpartition("/")[2]
    path = real_path(run)
    is_of_directory = path.name in (CHECKPOINT, BEST, HUB_WEIGHTS)
    name = path.name if is_directory(path) else path.parent.name if is_of_directory else path.stem
    # Bytes of a file name that are not UTF-8 become lone surrogates, which no client can send.
    return name.encode("utf-8", "backslashreplace").decode()


def create_model(snapshot: Snapshot, engine: str | None = None) -> Model:
    """Return the model of a network."""
    parameters, lines, config = snapshot.parameters, snapshot.lines, snapshot.config
    network = parameters, begin_text(parameters, snapshot.h)
    used = get_engine(engine or inference_engine(config.engine, config.cell))
    return Model(snapshot.alphabet, *network, used, lines.hashes, lines.score_quantiles, config.masker)


def check_is_model(value: object) -> None:
    """Check an argument that must be a model, in functions that users also call with a run or a path."""
    if not isinstance(value, Model):
        remedy = "pass elman.load(path) or the model of a run"
        raise ElmanError(f"model must be an elman.Model (got {type(value).__name__}): {remedy}")


def save_model(model: Model, out: Path) -> None:
    """Write a model without a run into a directory without a run or a model, from which `load` reads it."""
    from elman.runs.directory import RunDirectory  # with logs and records, which a model without a run does not have
    from elman.runs.writer import DirectoryLock

    with DirectoryLock(out) as lock:
        lock.acquire()
        RunDirectory(out).require_unused()
        save_network(out / BEST, model.snapshot())


def read_model(path: str | os.PathLike[str]) -> Snapshot:
    """Return the network that `load` loads.

    In a directory, it is read from ``checkpoint.safetensors``, which contains the best and the last network. If that
    file is missing, it is read from ``best.safetensors``, which contains the best network, or from
    ``model.safetensors``.
    """
    if name := hub_name(path):
        if "hf" not in DOWNLOADS:
            raise ElmanError(f"cannot load {quote(name)}: elman.formats.hub is not installed")
        return load_network(DOWNLOADS["hf"](name))
    if path == "":
        raise ElmanError("the path of the model is empty")  # Path("") is the current directory
    path = Path(path)
    if is_builtin(path):
        with unpack_builtin(MODELS[-1]) as unpacked:
            return load_network(unpacked)
    if path.name in {model.file for model in MODELS}:
        raise ElmanError(f"{quote(path)} is the compressed file of the built-in model: pass {BUILTIN} instead")
    if not is_directory(path):
        if is_named_or_begins_like_tensors(path):
            return load_network(path)
        command = join_command("elman", "train", path, "-o", f"runs/{path.stem}")
        raise ElmanError(f"{quote(path)} is not a model: pass a run directory; for a text, {command} writes one")
    found = [path / name for name in (CHECKPOINT, BEST, HUB_WEIGHTS) if exists(path / name)]
    if found and found[0].name != CHECKPOINT:
        return load_network(found[0])
    if not found and (runs := sorted(path.glob(f"*/{CHECKPOINT}"))):
        shown = ", ".join(quote(run.parent) for run in runs[:MAX_SHOWN])
        more = f" and {len(runs) - MAX_SHOWN} more" if len(runs) > MAX_SHOWN else ""
        raise ElmanError(f"there is no checkpoint {quote(path / CHECKPOINT)}: pass a run in it, {shown}{more}")
    return load_checkpoint(path / CHECKPOINT).selected


# --- The models in this package; ``storage/builtin/NOTICE.md`` describes their texts and the licences ---


class BuiltinModel(NamedTuple):
    """A model in this package."""

    file: str  # a snapshot compressed with xz. Its number is increased by every new model.
    sha256: str  # SHA-256 of the file, in hexadecimal
    fingerprint: str  # `fingerprint` of the model, in hexadecimal, which identifies it in compressed files


BUILTIN_FILES = files("elman.storage") / "builtin"
MODELS = (
    BuiltinModel(
        "builtin-1.safetensors.xz",
        sha256="47508e3a16eeb4d298502d6812b62f6fb8db806e489040fbc55db8f07a4478fe",
        fingerprint="28d879c2f629663ba9687213b9e9136f56ad032e6b251dfee6126f66a2de726e",
    ),
)
"""Every built-in model, the newest last; none is ever removed, because files compressed with it must stay readable."""


def load_builtin(model: BuiltinModel = MODELS[-1]) -> Model:
    """Load a built-in model, by default the newest."""
    with unpack_builtin(model) as path:
        return create_model(load_network(path))


def find_builtin(fingerprint: bytes) -> BuiltinModel | None:
    """Return the built-in model whose fingerprint begins with these bytes, or None."""
    return next((model for model in MODELS if bytes.fromhex(model.fingerprint).startswith(fingerprint)), None)


@contextmanager
def unpack_builtin(model: BuiltinModel) -> Iterator[Path]:
    """Make a built-in model available as a safetensors file, which is removed afterwards."""
    compressed, reason = b"", f"the contents of {model.file} do not match its SHA-256"
    try:
        compressed = (BUILTIN_FILES / model.file).read_bytes()
    except OSError as error:
        reason = f"cannot read {model.file}: {error.strerror}"
    if hashlib.sha256(compressed).hexdigest() != model.sha256:
        raise ElmanError(f"the built-in model cannot be used ({reason}): reinstall elman, or pass a run")
    try:
        folder = TemporaryDirectory()  # a checkpoint is read from a file
        path = Path(folder.name) / "builtin"
        path.write_bytes(lzma.decompress(compressed))
    except OSError as error:
        raise ElmanError(f"the built-in model cannot be unpacked: {error.strerror}") from error
    with folder:
        yield path


def fingerprint(model: Model) -> bytes:
    """Return the SHA-256 of everything that predictions depend on.

    It covers the alphabet, the weights as float32 and the table of the n-gram prior.
    """
    alphabet = model.alphabet
    digest = hashlib.sha256(f"{alphabet.has_unknown}\0{alphabet.characters}\0".encode("utf-8", "surrogatepass"))
    with np.errstate(over="ignore"):
        weights = {name: array.astype("<f4", copy=False) for name, array in sorted(model.parameters.items())}
    for name, array in (weights | ngram_tensors(model.parameters.ngrams)).items():
        digest.update(f"{name} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.digest()
