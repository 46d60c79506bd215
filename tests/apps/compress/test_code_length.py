"""The cross-entropy of a text under the mode of the codec that adapts."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.apps.compress import code_length
from elman.apps.compress.code_length import score_code_length
from elman.apps.compress.container import MODES, ModeName, read_header
from elman.apps.compress.tokens import to_tokens
from elman.errors import ElmanError
from elman.model import Model, Score
from elman.model.loading import fingerprint
from elman.text import Alphabet, Corpus
from support.cli import Command
from support.codec_models import ALPHABET, TEXT, make_model
from support.small_blocks import small_blocks
from support.training import train

LONG = TEXT * 5


def score(model: Model, text: str) -> Score:
    return model.score(text, adapt="mixture")


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_length_of_the_payload_and_the_model_does_not_change(mode: ModeName) -> None:
    model, fractions = make_model(order=3), list[float]()
    before = fingerprint(model)
    result = score_code_length(model.alphabet, model.parameters, lambda: [TEXT] * 5, fractions.append, mode)
    assert fingerprint(model) == before
    file = elman.compress(LONG, model, mode=mode)
    assert result.chars == len(LONG)
    assert abs(8 * len(file[read_header(file)[1] :]) - result.nats / math.log(2)) <= 64
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_a_long_text_has_a_single_substream() -> None:
    model = make_model(order=3)
    expected = score(model, LONG)
    with small_blocks():
        assert score(model, LONG) == expected


def test_characters_outside_the_alphabet_are_counted() -> None:
    with_symbol = Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True)
    for alphabet, text, unknown in (
        (ALPHABET, "a cab, 漢字", 3),
        (ALPHABET, "\udcff\ud800a", 2),
        (with_symbol, "a cab, 漢字", 0),
    ):
        result = score(make_model(alphabet=alphabet), text)
        assert (result.chars, result.unknown) == (len(text), unknown)


@pytest.mark.parametrize("min_count", [0, 2])
def test_the_command_reads_the_text_in_chunks(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, min_count: int
) -> None:
    run = train(Corpus.from_text(TEXT + "z"), preset="counts", min_count=min_count, out=tmp_path / "run")
    (tmp_path / "text").write_text(text := "a cab, 漢字z�\n" + TEXT[:500], "utf-8")
    expected, read = score(run.model, text), list[int]()

    def count_bytes(data: bytes, alphabet: Alphabet) -> Any:
        read.append(len(data))
        return to_tokens(data, alphabet)

    monkeypatch.setattr(code_length, "to_tokens", count_bytes)
    monkeypatch.setattr(elman.text.corpus, "CHUNK_SIZE", 64)
    code, out, _ = command("eval", tmp_path / "run", tmp_path / "text", "--adapt", "mixture", "--json")
    printed = json.loads(out)
    assert (code, printed["nats_per_char"], printed["chars"]) == (0, expected.nats_per_char, len(text))
    assert printed["nats_per_char_without_adapt"] == pytest.approx(run.model.score(text).nats_per_char)
    assert max(read) < 100


def test_a_model_of_lines_is_refused() -> None:
    model = train(Corpus.from_text("anna\nbell\n" * 9), lines=True, hidden_size=3, engine="numpy", max_updates=1).model
    with pytest.raises(ElmanError, match="adapt='mixture' does not work with a model of independent lines"):
        score(model, "anna\nbell\n")
