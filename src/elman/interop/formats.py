"""The formats there are, and what goes for all of them: files written whole, and believed only after a look."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError

from elman.config import Config
from elman.engine import Engine, get_engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.interop import npz, onnx, torch
from elman.network.parameters import architecture
from elman.runs.checkpoint import KeptNetwork, Network
from elman.runs.records import RunDirectory
from elman.storage.atomic import replace_file
from elman.storage.untrusted import regular, shown
from elman.text import Alphabet


class Format(Protocol):
    """What each of `onnx`, `torch` and `npz` offers."""

    def write(self, model: Model, /) -> bytes:
        """Return the bytes of a file."""
        ...

    def read(self, path: Path, alphabet: Alphabet | None, engine: Engine, /) -> Model:
        """Return the network of a file, with that alphabet where it is given."""
        ...


FORMATS: dict[str, Format] = {".onnx": onnx, ".safetensors": torch, ".npz": npz}
"""By what the names of their files end in."""

SUFFIXES = {"onnx": ".onnx", "torch": ".safetensors", "npz": ".npz"}

_WRONG = (ElmanError, SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError)
"""What the readers meet in a file that is not what it should be; besides `ValueError`."""


def export(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a network in a format of others, which the end of the name says.

    Parameters
    ----------
    model : Model
    path : str or path
        ``….onnx``, with ONNX's operators, in float32; ``….safetensors``, a state dict of PyTorch; or ``….npz``,
        NumPy's.

    Raises
    ------
    ElmanError
        If the name ends in something else, a library is missing (onnx), the network does not fit the format, or the
        system refuses.
    """
    path = Path(path)
    replace_file(path, _format(path).write(model))


def import_(
    path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    alphabet: str | None = None,
    engine: str = "numba",
) -> Model:
    """Return the network of a file that `export` wrote, or of another's PyTorch; see ``docs/export.md``.

    Parameters
    ----------
    path : str or path
    out : str or path, optional
        A directory to put it in, from which `elman.load` and the commands take it like that of a run.
    alphabet : str, optional
        Its characters in the order of their indices, where the file does not say them.
    engine : str
        ``numba`` or ``numpy``.

    Raises
    ------
    ElmanError
        If there is no such file, or it is damaged, contradicts itself, or holds another kind of network; if `out`
        holds a run or a network already.
    """
    path, known = Path(path), None if alphabet is None else Alphabet(alphabet)
    read, chosen = _format(path).read, get_engine(engine)
    try:
        regular(path).open("rb").close()  # says better than the libraries why it cannot be read
        model = read(path, known, chosen)
    except OSError as error:
        raise ElmanError(f"cannot read {str(path)!r} ({error.strerror}): give a file to import") from error
    except (*_WRONG, ValueError) as error:
        raise ElmanError(f"{str(path)!r} cannot be imported: {shown(error)}") from error
    if out is not None:
        _keep(model, Path(out))
    return model


def _format(path: Path) -> Format:
    if path.suffix not in FORMATS:
        endings = ", ".join(FORMATS)
        raise ElmanError(
            f"the format is told by the end of the name, one of {endings}, and {path.name!r} came: rename it"
        )
    return FORMATS[path.suffix]


def _keep(model: Model, out: Path) -> None:
    """Write a network where `elman.runs.run.load` finds it."""
    net = architecture(model.parameters)
    config = Config(
        cell=net.cell,  # type: ignore[arg-type]
        hidden_size=net.m,
        layers=net.layers,
        dtype=str(model.h.dtype),  # type: ignore[arg-type]
        rare=int(model.alphabet.folds),
    )
    directory = RunDirectory(out)
    with directory.writer:
        directory.keep(KeptNetwork(config, model.alphabet, Network(model.parameters, model.h, update=0)))
