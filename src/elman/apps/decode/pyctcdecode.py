"""The interface of pyctcdecode 0.5 for labels of characters: its users only change an import and the model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elman.apps.decode.ctc import ALPHA, BETA, Hypothesis, decode_ctc
from elman.apps.decode.inputs import BLANKS, check_weights, list_arrays, read_matrix
from elman.apps.decode.language_model import LmState, check_is_language_model
from elman.errors import ElmanError, check_number, checks_types, is_path, list_strings, quote, shorten
from elman.formats import import_
from elman.model import Model, fingerprint, load
from elman.storage import replace_files

ALPHABET, MODEL = "alphabet.json", "model.safetensors"
"""The files of `BeamSearchDecoderCTC.save_to_dir`."""


class BeamSearchDecoderCTC:
    """A decoder with the methods of pyctcdecode's, which `build_ctcdecoder` returns.

    Labels and language models must be of characters: no KenLM of words, no list of words (`unigrams`), no subwords.

    Parameters
    ----------
    labels : sequence of str
        ``|`` may stand for the space, and ``<pad>`` or ``_`` for the blank, which is appended if there is none.
    kenlm_model_path : model or path, optional
        The language model: an `elman.Model`, or the path of a run or of an ARPA file of characters.
    alpha, beta : float
        As in `elman.decode_ctc`: `beta` is added for every character, and only if there is a language model.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.pyctcdecode import build_ctcdecoder
    >>> build_ctcdecoder([" ", "h", "i"]).decode(np.array([[0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]]))
    'hi'
    """

    def __init__(
        self, labels: Sequence[str], kenlm_model_path: Any = None, alpha: float = ALPHA, beta: float = BETA
    ) -> None:
        model, self.labels = kenlm_model_path, _normalize(list_strings("labels", labels))
        if is_path(model):
            model = (import_ if os.fspath(model).endswith((".arpa", ".arpa.gz")) else load)(model)
        elif model is not None:
            check_is_language_model(model)
        self.alpha, self.beta = check_weights(alpha, beta)
        self.model = model

    def reset_params(self, alpha: float | None = None, beta: float | None = None) -> None:
        """Change the weights."""
        self.alpha, self.beta = check_weights(
            self.alpha if alpha is None else alpha, self.beta if beta is None else beta
        )

    def decode(
        self, logits: ArrayLike, beam_width: int = 100, beam_prune_logp: float = -10.0, token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None, hotword_weight: float = 10.0, lm_start_state: LmState | None = None,
    ) -> str:  # fmt: skip
        """Return the best text, see `decode_beams`."""
        options: dict[str, Any] = {"hotwords": hotwords, "hotword_weight": hotword_weight}
        options |= {"lm_start_state": lm_start_state, "nbest": 1}
        return self.decode_beams(logits, beam_width, beam_prune_logp, token_min_logp, **options)[0][0]

    def decode_batch(
        self, pool: Any, logits_list: Iterable[ArrayLike], beam_width: int = 100, beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0, hotwords: Iterable[str] | None = None, hotword_weight: float = 10.0,
    ) -> list[str]:  # fmt: skip
        """Return the best text of each matrix, decoded by the processes of a pool, which may be None."""
        if pool is not None and not hasattr(pool, "map"):
            raise ElmanError(f"pool must be a multiprocessing.Pool or None (got {quote(pool)})")
        options: dict[str, Any] = {"beam_prune_logp": beam_prune_logp, "token_min_logp": token_min_logp}
        options |= {"beam_width": beam_width, "hotwords": hotwords, "hotword_weight": hotword_weight}
        decode, matrices = partial(self.decode, **options), list_arrays(logits_list)
        return [*(map if pool is None else pool.map)(decode, matrices)]

    def decode_beams(
        self, logits: ArrayLike, beam_width: int = 100, beam_prune_logp: float = -10.0, token_min_logp: float = -5.0,
        prune_history: bool = False, hotwords: Iterable[str] | None = None, hotword_weight: float = 10.0,
        lm_start_state: LmState | None = None, nbest: int | None = None,
    ) -> list[tuple[str, LmState | None, list[Any], float, float]]:  # fmt: skip
        """Return the texts in the beam, the best first, given logits or probabilities (T, K).

        A text's tuple has the text, the state of the language model, the words with their first frame and the frame
        after the last, log p(text) and the score. `token_min_logp` is relative to the best symbol of a frame;
        `prune_history` has no effect.
        """
        frames = read_matrix("logits", logits, len(self.labels))
        if len(frames) and np.isclose(frames.sum(axis=-1).mean(), 1):  # probabilities
            frames = np.log(np.clip(frames, 1e-15, 1))
        found = decode_ctc(
            frames, self.labels, self.model, alpha=self.alpha, beta=None if self.model is None else self.beta, blank="",
            symbol_threshold=-_check_nats("token_min_logp", token_min_logp), width=beam_width, from_logits=True,
            beam_threshold=-_check_nats("beam_prune_logp", beam_prune_logp), hotword_weight=hotword_weight,
            hotwords=() if hotwords is None else hotwords, nbest=beam_width if nbest is None else nbest,
            state=lm_start_state,
        )  # fmt: skip
        return [(" ".join(h.text.split()), h.state, self._words(h), h.acoustic, h.score) for h in found]

    def _words(self, hypothesis: Hypothesis) -> list[tuple[str, tuple[int, int]]]:
        symbols = zip((self.labels[k] for k in hypothesis.symbols), hypothesis.frames, strict=True)
        words = [[*word] for is_space, word in groupby(symbols, lambda symbol: symbol[0] == " ") if not is_space]
        return [("".join(label for label, _ in word), (word[0][1][0], word[-1][1][1] + 1)) for word in words]

    @checks_types
    def save_to_dir(self, filepath: str | os.PathLike[str]) -> None:
        """Write the decoder, with an `elman.Model`, into an existing folder."""
        files: dict[Path, Any] = {}
        if self.model is not None:
            if not isinstance(self.model, Model):
                raise ElmanError(f"save_to_dir requires an elman.Model (got {type(self.model).__name__})")
            files[Path(filepath) / MODEL] = self.model.snapshot().serialize()
        contents = {"labels": self.labels, "alpha": self.alpha, "beta": self.beta, "model": _identify(self.model)}
        files[Path(filepath) / ALPHABET] = json.dumps(contents).encode()
        replace_files(files, place="folder")

    @classmethod
    @checks_types
    def load_from_dir(cls, filepath: str | os.PathLike[str]) -> BeamSearchDecoderCTC:
        """Return the decoder that `save_to_dir` wrote."""
        try:
            contents = json.loads((Path(filepath) / ALPHABET).read_text("utf-8"))
            labels, alpha, beta, model = (contents.pop(name) for name in ("labels", "alpha", "beta", "model"))
            if contents:
                raise ValueError(f"unknown entries {quote(contents)}")
            decoder = cls(labels, model and Path(filepath) / MODEL, alpha=alpha, beta=beta)
            if _identify(decoder.model) != model:  # an interrupted save_to_dir leaves files of two decoders
                raise ValueError(f"{MODEL} and {ALPHABET} belong to different decoders")
            return decoder
        except (AttributeError, ElmanError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
            raise ElmanError(
                f"{quote(filepath)} does not contain what save_to_dir writes ({shorten(error, 200)})"
            ) from None


def build_ctcdecoder(
    labels: Sequence[str], kenlm_model_path: Any = None, alpha: float = ALPHA, beta: float = BETA
) -> BeamSearchDecoderCTC:
    """Return a `BeamSearchDecoderCTC` with these parameters.

    Examples
    --------
    >>> from elman.pyctcdecode import build_ctcdecoder
    >>> build_ctcdecoder([" ", "h", "i"], alpha=0.5, beta=2.5).labels
    [' ', 'h', 'i', '']
    """
    return BeamSearchDecoderCTC(labels, kenlm_model_path, alpha, beta)


def _identify(model: Model | None) -> str | None:
    return None if model is None else fingerprint(model).hex()


def _check_nats(name: str, value: float) -> float:
    return check_number(name, value, "less than 0", lambda nats: nats < 0)


def _normalize(labels: Sequence[str]) -> list[str]:
    """Return the labels like pyctcdecode: "" for the blank, " " for the space, ⁇ for the unknown symbol."""
    if subwords := [label for label in labels if label.startswith(("▁", "##"))]:
        raise ElmanError(f"labels must be characters, not subwords (got {quote(subwords[0])}): use pyctcdecode")
    blank = next((each for each in BLANKS if each in labels), "")
    special = {blank: ""} | ({} if " " in labels else {"|": " "})
    names = ["⁇" if re.fullmatch(r"(?i)[<\[]unk[>\]]", each) else special.get(each, each) for each in labels]
    return names if "" in names else [*names, ""]
