"""A run in one file, and a network in one: arrays and a description in safetensors, nothing that could run.

The tensors of a run are those of `TrainState`: parameters by their names, ``M.U`` …, ``N.U`` … and ``average.U`` … as
far as the optimiser keeps them, and ``h``; where a best network was found, ``best.U`` … and ``best.h`` besides. Those
of a network are its parameters and ``h``. What `elman.storage.atomic` writes with them says the configuration,
the alphabet, the counters and both generators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError
from elman.network.optimizer import HAS_FIRST_MOMENT, HAS_SECOND_MOMENT
from elman.network.parameters import Architecture, Array, Parameters, shapes
from elman.runs.rng_state import describe_initial, restore_initial, restore_sample
from elman.storage.tensors import corrupt_checkpoint_error, read_tensors, save_tensors
from elman.storage.untrusted import (
    parse_strict_json,
    require_bounded_ints,
    require_finite,
    require_int,
    require_sha256,
    require_str,
    safe_message,
)
from elman.text import Alphabet

FORMAT = 2
_READ = (1, FORMAT)
"""A file of format 1 is one of format 2 without what came later."""

_T = TypeVar("_T")
_COUNTERS = ("position", "update", "epoch", "minimum_at")
_FIGURES = ("smooth_loss", "minimum_smooth_loss", "seconds")


@dataclass(frozen=True, eq=False)
class Network:
    """A network as it is used: apart from what training it needs.

    Parameters
    ----------
    parameters : Parameters
    h : ndarray, shape (D,)
        The state in which reading goes on.
    update : int
        After which it was so.
    validation_loss : float or None
        Of the text kept aside, mean nats a character; None if it was not scored.
    """

    parameters: Parameters
    h: Array
    update: int
    validation_loss: float | None = None

    @classmethod
    def of(cls, state: TrainState, validation_loss: float | None = None) -> Network:
        """Return the network that a state holds now, apart from it."""
        parameters = {name: array.copy() for name, array in state.eval_parameters.items()}
        return cls(parameters, state.final_hidden.copy(), state.update, validation_loss)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run's file holds: the state, what it is the state of, and the network that is to be used.

    That is the best one that the run came by or, where `last_loss` is given, the last, which scored that and better.
    """

    config: Config
    alphabet: Alphabet
    corpus_sha256: str
    state: TrainState
    best: Network | None = None
    last_loss: float | None = None

    @property
    def kept(self) -> Network:
        """The network that is to be used."""
        return self.best if self.best is not None and self.last_loss is None else self.last

    @property
    def last(self) -> Network:
        """The network of now."""
        return Network(self.state.eval_parameters, self.state.final_hidden, self.state.update, self.last_loss)


@dataclass(frozen=True, eq=False)
class KeptNetwork:
    """What a network's file holds, and what of a run's file is needed to use its network."""

    config: Config
    alphabet: Alphabet
    network: Network


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file beside itself, then rename it, so that at every instant one whole checkpoint exists."""
    save_tensors(path, _description(checkpoint), _tensors(checkpoint))


def save_network(path: Path, checkpoint: Checkpoint, network: Network) -> None:
    """Write a network of a run in a file of its own, as `save_checkpoint` does."""
    description = _of_which_text(checkpoint) | {"network": _network_description(network)}
    save_tensors(path, description, network.parameters | {"h": network.h})


def save_imported(path: Path, imported: KeptNetwork) -> None:
    """Write a network that no run made: as `save_network` does, without the hash of a text that it is of."""
    description = _what_it_is(imported) | {"network": _network_description(imported.network)}
    save_tensors(path, description, imported.network.parameters | {"h": imported.network.h})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a run's file, which `save_checkpoint` wrote.

    Raises
    ------
    ElmanError
        If there is none, or it is truncated, altered, of another format, or holds a network only.
    """
    description, tensors = _read(path)
    if "network" in description:
        raise ElmanError(f"{str(path)!r} holds a network and no run to go on with: give the run's checkpoint")
    return _fitting(path, lambda: _restore(description, tensors))


def load_network(path: Path) -> KeptNetwork:
    """Read the network of a file that `save_network` or `save_checkpoint` wrote.

    Raises
    ------
    ElmanError
        If there is none, or it is truncated, altered, or of another format.
    """
    description, tensors = _read(path)
    if "network" in description:
        return _fitting(path, lambda: _restore_network(description, tensors))
    checkpoint = _fitting(path, lambda: _restore(description, tensors))
    return KeptNetwork(checkpoint.config, checkpoint.alphabet, checkpoint.last)


def load_kept(path: Path) -> KeptNetwork:
    """Read from a run's file the network that is to be used.

    Raises
    ------
    ElmanError
        As of `load_checkpoint`.
    """
    checkpoint = load_checkpoint(path)
    return KeptNetwork(checkpoint.config, checkpoint.alphabet, checkpoint.kept)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what a file says it holds, and its arrays."""
    text, tensors = read_tensors(path)
    return _fitting(path, lambda: _of_known_format(parse_strict_json(text))), tensors


def _fitting(path: Path, restore: Callable[[], _T]) -> _T:
    """Return what is restored, or say that the description does not fit."""
    try:
        return restore()
    except (ElmanError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise corrupt_checkpoint_error(path, f"its description does not fit ({safe_message(error)})") from error


def _of_known_format(description: dict[str, Any]) -> dict[str, Any]:
    if description["format"] not in _READ:
        known = " and ".join(str(number) for number in _READ)
        raise ElmanError(f"format {description['format']}, and this Elman reads {known}")
    return description


def _tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    state, best = checkpoint.state, checkpoint.best
    groups = {"": state.parameters | {"h": state.h}, "M.": state.M, "N.": state.N, "average.": state.average}
    if best is not None:
        groups["best."] = best.parameters | {"h": best.h}
    return {prefix + name: array for prefix, arrays in groups.items() for name, array in arrays.items()}


def _what_it_is(saved: Checkpoint | KeptNetwork) -> dict[str, Any]:
    return {"format": FORMAT, "config": saved.config.as_dict(), "alphabet": saved.alphabet.characters}


def _of_which_text(checkpoint: Checkpoint) -> dict[str, Any]:
    return _what_it_is(checkpoint) | {"corpus_sha256": checkpoint.corpus_sha256}


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    state, best = checkpoint.state, checkpoint.best
    return _of_which_text(checkpoint) | {
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "figures": {name: _or_none(getattr(state, name)) for name in _FIGURES},
        "best": None if best is None else _network_description(best),
        "last_loss": checkpoint.last_loss,
        "initial_generator": describe_initial(state.initial_generator),
        "sample_generator": state.sample_generator.bit_generator.state,
    }


def _network_description(network: Network) -> dict[str, Any]:
    return {"update": network.update, "validation_loss": network.validation_loss}


def _or_none(value: float) -> float | None:
    """JSON has no number for nan."""
    return None if math.isnan(value) else value


def _restore(description: dict[str, Any], tensors: dict[str, Array]) -> Checkpoint:
    config, alphabet = _config_and_alphabet(description, tensors)
    best, last_loss = description.get("best"), description.get("last_loss")
    wanted = _group_shapes(config, alphabet, best is not None)
    all_wanted = {prefix + name: shape for prefix, group in wanted.items() for name, shape in group.items()}
    D, B = _network_shapes(config, alphabet)["h"][0], config.batch_size
    _check_tensors(all_wanted | {"h": (D,) if B == 1 else (B, D)}, tensors, config)
    groups = {prefix: {name: tensors[prefix + name] for name in group} for prefix, group in wanted.items()}
    state = TrainState(
        parameters=groups[""],
        M=groups.get("M.", {}),
        h=tensors["h"],
        N=groups.get("N.", {}),
        average=groups.get("average.", {}),
        initial_generator=restore_initial(description["initial_generator"]),
        sample_generator=restore_sample(description["sample_generator"]),
        **_numbers(description),
    )
    network = None if best is None else _network(groups["best."], best, scored=True)
    if network is not None and network.update > state.update:
        raise ValueError("the best network is of an update that is not done")
    last_loss = None if last_loss is None else require_finite(last_loss, "last_loss")
    return Checkpoint(config, alphabet, require_sha256(description["corpus_sha256"]), state, network, last_loss)


def _config_and_alphabet(description: dict[str, Any], tensors: dict[str, Array]) -> tuple[Config, Alphabet]:
    config = Config(**require_bounded_ints(description["config"]))
    if config.layers > len(tensors):  # before as many shapes are listed
        raise ElmanError(f"fewer arrays than {config.layers} layers have")
    return config, Alphabet(require_str(description["alphabet"], "alphabet"), has_unknown=config.rare > 0)


def _group_shapes(config: Config, alphabet: Alphabet, best: bool) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of each group of tensors, by what their names begin with; the state h apart."""
    network = _network_shapes(config, alphabet)
    parameters = {name: shape for name, shape in network.items() if name != "h"}
    there = {
        "": True,
        "M.": config.optimizer in HAS_SECOND_MOMENT,
        "N.": config.optimizer in HAS_FIRST_MOMENT,
        "average.": config.averaging > 0,
    }
    groups = {prefix: parameters for prefix, is_there in there.items() if is_there}
    return groups | ({"best.": network} if best else {})


def _restore_network(description: dict[str, Any], tensors: dict[str, Array]) -> KeptNetwork:
    config, alphabet = _config_and_alphabet(description, tensors)
    _check_tensors(_network_shapes(config, alphabet), tensors, config)
    return KeptNetwork(config, alphabet, _network(tensors, description["network"], scored=False))


def _network(tensors: dict[str, Array], description: dict[str, Any], *, scored: bool) -> Network:
    """Return a network; one that was imported is not `scored`."""
    parameters = {name: array for name, array in tensors.items() if name != "h"}
    update, loss = require_int(description["update"], "update"), description["validation_loss"]
    if loss is not None or scored:
        loss = require_finite(loss, "validation_loss")
    return Network(parameters, tensors["h"], update, loss)


def _network_shapes(config: Config, alphabet: Alphabet) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter and of h (D,)."""
    K, m = len(alphabet), config.hidden_size
    D = Architecture(config.cell, config.layers, K, m).state_size
    return shapes(K, m, config.cell, config.layers) | {"h": (D,)}


def _check_tensors(wanted: dict[str, tuple[int, ...]], tensors: dict[str, Array], config: Config) -> None:
    if {name: array.shape for name, array in tensors.items()} != wanted:
        raise ElmanError("arrays of other shapes than the configuration's")
    for name, array in tensors.items():
        if array.dtype != config.dtype or not np.isfinite(array).all():
            raise ElmanError(f"{name} is not made of finite {config.dtype}")


def _numbers(description: dict[str, Any]) -> dict[str, Any]:
    counters = {name: require_int(description["counters"][name], name) for name in _COUNTERS}
    if counters["minimum_at"] > counters["update"]:
        raise ValueError("the minimum is at an update that is not done")
    figures = {name: description["figures"][name] for name in _FIGURES}
    return counters | {
        name: math.nan if value is None else require_finite(value, name) for name, value in figures.items()
    }
