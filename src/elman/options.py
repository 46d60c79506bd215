"""Options of the command line and of Python: how a function shows those it passes on, and which name is suggested."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_args

from elman.errors import ARGUMENTS

P = ParamSpec("P")
R = TypeVar("R")

PLACEHOLDER = "OPTIONS"
"""The line of a docstring that the descriptions replace."""


class Option(NamedTuple):
    """A keyword argument. `choices` are the values it may have; empty if they are not listed."""

    name: str
    hint: Any
    default: Any
    help: str
    """A template, in which ``{lines:True}`` names an option; see `elman.errors`."""
    choices: tuple[str, ...] = ()

    def describe(self, indent: str) -> str:
        """Return its description for a docstring."""
        kind = " or ".join(f'"{choice}"' for choice in self.choices) or _name_type(self.hint)
        lines = textwrap.wrap(self.help.format_map(ARGUMENTS), 100)
        return f"\n{indent}    ".join([f"{self.name} : {kind}, default {self.default!r}", *lines])


def document_options(options: Iterable[Option]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that shows the options in place of ``**options`` and of `PLACEHOLDER`.

    Type checkers read ``**options: Unpack[…]``; ``help()`` and the completion of notebooks read what this adds.
    """
    options = tuple(options)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        added = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.hint)
            for each in options
            if each.name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
        if function.__doc__:  # Python removes docstrings under -OO
            before, _, after = function.__doc__.partition(PLACEHOLDER)
            indent = before[before.rfind("\n") + 1 :]
            function.__doc__ = before + f"\n{indent}".join(each.describe(indent) for each in options) + after
        return function

    return decorate


def _name_type(hint: Any) -> str:
    kinds = get_args(hint) or (hint,)
    return " or ".join("None" if kind is type(None) else getattr(kind, "__name__", repr(kind)) for kind in kinds)


_OTHER_NAMES = {
    "batch_size": "batch bs minibatch_size n_batch",
    "beta1": "momentum",
    "cell": "cell_type model model_type network rnn rnn_type",
    "count": "n num_return_sequences n_samples num_samples",
    "dropout": "drop drop_prob dropout_prob",
    "dtype": "precision",
    "ema_decay": "ema ema_momentum",
    "engine": "backend",
    "epochs": "max_epochs n_epochs num_epochs num_train_epochs",
    "grad_clip": "clip_grad clip_norm grad_norm_clip gradient_clip max_grad_norm",
    "hidden_size": "hidden hidden_dim hidden_units n_embd n_hidden n_units num_hidden rnn_size units",
    "init_from": "finetune finetune_from from_pretrained init_model pretrained warm_start",
    "layers": "depth n_layer n_layers num_layers",
    "learning_rate": "alpha eta lr step_size",
    "length": "max_length max_new_tokens max_tokens n_chars",
    "log": "logger loggers report_to",
    "max_seconds": "max_time time time_budget time_limit timeout",
    "max_updates": "iterations iters max_iterations max_iters max_steps n_steps num_steps steps updates",
    "min_count": "min_df min_freq min_frequency",
    "ngram_order": "ngram ngrams order",
    "on_update": "on_step progress_callback",
    "optimizer": "opt optim",
    "out": "dir out_dir output output_dir path save_dir",
    "patience": "early_stopping early_stopping_patience n_iter_no_change",
    "preset": "recipe",
    "prompt": "prefix primetext seed_text start start_string start_text",
    "resume": "resume_from resume_from_checkpoint",
    "sample_every": "sample_interval",
    "schedule": "lr_schedule lr_scheduler lr_scheduler_type scheduler",
    "seed": "random_seed rng_seed",
    "seq_length": "block_size bptt context context_length seq seq_len sequence_length timesteps unroll window",
    "stop": "eos stop_sequence stop_sequences stop_string",
    "temperature": "temp",
    "top_k": "k topk",
    "top_p": "nucleus p topp",
    "validate_every": "eval_every eval_interval eval_steps val_every val_interval",
    "validation": "val val_frac val_fraction val_split valid validation_fraction validation_split",
    "warmup": "warmup_iters warmup_steps warmup_updates",
    "weight_decay": "l2 wd",
    "weight_dropout": "dropconnect recurrent_dropout wdrop weight_drop",
}
"""Option -> its names in nanoGPT, char-rnn, PyTorch, Keras, scikit-learn, Transformers and in common use."""

SYNONYMS = {name: option for option, names in _OTHER_NAMES.items() for name in names.split()}
"""Name -> option."""

SIMILARITY = 0.75
"""How alike two spellings must be for one to be suggested for the other."""


def suggest_option(name: str, options: Iterable[str]) -> str | None:
    """Return the option that an unknown name most likely means, None if there is no such option.

    Examples
    --------
    >>> suggest_option("lr", ["learning_rate", "layers"])
    'learning_rate'
    >>> suggest_option("Hiden-size", ["hidden_size", "seed"])
    'hidden_size'
    """
    options, key = list(options), name.lower().replace("-", "_")
    if SYNONYMS.get(key) in options:
        return SYNONYMS[key]
    near = get_close_matches(key, options, 1, SIMILARITY)
    return near[0] if near else None
