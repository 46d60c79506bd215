"""The interface of pyctcdecode gives its results, or texts that are more probable."""

import inspect
import json
import math
import re
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.pyctcdecode import BeamSearchDecoderCTC, build_ctcdecoder
from support.training import train

LABELS = [" ", "a", "b", "c", "d", "e"]
HOTWORDS = ["abc", "de bead"]
EXPECTED = json.loads(Path(__file__).with_name("pyctcdecode.json").read_text("utf-8"))
"""Of pyctcdecode 0.5.0: seed, hotwords, the best text and the frames of its words."""
TEXT = "bad cab\nace bed\ndad\ncab ace bead\n" * 20


def logits(seed: int) -> Any:
    return 6.0 * np.sin(np.square(np.arange(24 * 7) + 31.0 * seed)).reshape(24, 7)


def test_what_pyctcdecode_finds_is_found() -> None:
    decoder, equal = build_ctcdecoder(LABELS), 0
    for seed, hotwords, text, frames in EXPECTED:
        beams = decoder.decode_beams(logits(seed), hotwords=hotwords.split(), hotword_weight=4.0)
        assert text in [beam[0] for beam in beams]
        best, state, words, acoustic, score = beams[0]
        assert state is None
        assert score >= acoustic
        assert score == acoustic or hotwords
        assert [word for word, _ in words] == best.split()
        if best == text:
            equal += 1
            np.testing.assert_allclose([span for _, span in words], frames, rtol=0, atol=2)
    assert equal > 0.7 * len(EXPECTED)


def test_logits_log_probabilities_and_probabilities_are_taken() -> None:
    log_p = logits(1) - np.logaddexp.reduce(logits(1), axis=1, keepdims=True)
    decoder = build_ctcdecoder(LABELS)
    first, *others = (decoder.decode_beams(x)[0] for x in (logits(1), log_p, np.exp(log_p), np.exp(log_p).astype("f4")))
    assert all(other[:3] == first[:3] for other in others)
    assert [other[3] for other in others] == pytest.approx([first[3]] * 3, abs=1e-5)
    with pytest.raises(elman.ElmanError, match="7 columns"):
        decoder.decode(log_p[:, :6])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "|", "_"], ["a", " ", ""]),
        (["<pad>", "a", " ", "|"], ["", "a", " ", "|"]),
        (["[UNK]", "a", "_", ""], ["⁇", "a", "_", ""]),
        (["a"], ["a", ""]),
    ],
)
def test_labels_are_read_as_by_pyctcdecode(labels: list[str], expected: list[str]) -> None:
    assert build_ctcdecoder(labels).labels == expected


def test_subwords_are_refused() -> None:
    with pytest.raises(elman.ElmanError, match=r"^labels must be characters, not subwords \(got '▁bug'\): use pyct"):
        build_ctcdecoder(["▁bug", "s", ""])


def test_a_model_and_its_state_and_weights(tmp_path: Path) -> None:
    model = train(elman.Corpus.from_text(TEXT), preset="counts", lines=True, validation=0, out=tmp_path / "run").model
    elman.export(model, tmp_path / "lm.arpa")
    decoder = build_ctcdecoder(LABELS, model, alpha=0.8, beta=1.0)
    beams = decoder.decode_beams(logits(2), beam_width=20)
    (expected,) = elman.decode_ctc(logits(2), [*LABELS, ""], model, alpha=0.8, beta=1.0, width=20, from_logits=True)
    assert beams[0][0] == " ".join(expected.text.split())
    assert beams[0][4] == pytest.approx(expected.score)
    assert len(beams) <= 20

    continued = decoder.decode_beams(logits(3), lm_start_state=beams[0][1])[0]
    assert continued[4] != decoder.decode_beams(logits(3))[0][4]
    matrices = [logits(seed) for seed in range(4)]
    texts = [decoder.decode(each, hotwords=HOTWORDS) for each in matrices]
    with ThreadPool(2) as pool:
        assert decoder.decode_batch(pool, matrices, hotwords=HOTWORDS) == texts
    assert decoder.decode_batch(None, matrices, hotwords=HOTWORDS) == texts
    assert decoder.decode_batch(None, matrices, 100, -10.0, -5.0, HOTWORDS, 10.0) == texts
    assert [decoder.decode(each, 100, -10.0, -5.0, HOTWORDS, 10.0, None) for each in matrices] == texts

    decoder.save_to_dir(tmp_path)
    others: list[Any] = [tmp_path / "run", str(tmp_path / "lm.arpa")]
    for other in (decoder.load_from_dir(tmp_path), *(build_ctcdecoder(LABELS, each, 0.8, 1.0) for each in others)):
        assert other.decode_beams(logits(2), beam_width=20)[0][4] == pytest.approx(expected.score, rel=1e-4)
    decoder.reset_params(beta=8.0)
    assert (decoder.alpha, decoder.beta) == (0.8, 8.0)
    build_ctcdecoder(LABELS, "builtin").save_to_dir(tmp_path / "run")
    (tmp_path / "run/model.safetensors").rename(tmp_path / "model.safetensors")  # as after a kill between the renames
    with pytest.raises(elman.ElmanError, match=r"\(model.safetensors and alphabet.json belong to different dec"):
        decoder.load_from_dir(tmp_path)
    build_ctcdecoder(LABELS).save_to_dir(tmp_path)
    assert decoder.load_from_dir(tmp_path).model is None  # no part of the decoder that was there
    assert (tmp_path / "model.safetensors").exists()  # it may be another program's
    assert len(decoder.decode(logits(2))) > len(expected.text)


def test_a_decoder_without_a_model_is_saved_and_others_are_refused(tmp_path: Path) -> None:
    build_ctcdecoder(LABELS).save_to_dir(tmp_path)
    decoder = build_ctcdecoder(LABELS).load_from_dir(tmp_path)
    assert (decoder.labels, decoder.model) == ([*LABELS, ""], None)
    saved = (tmp_path / "alphabet.json").read_text()
    changed = saved.replace("}", ', "kenlm_model_path": "elsewhere"}'), saved.replace("null", '"/run"')
    for contents in (*changed, '{"labels": ["a"], "is_bpe": false}', "[]", "x", "[" * 100_000):
        (tmp_path / "alphabet.json").write_text(contents)
        with pytest.raises(elman.ElmanError, match="does not contain what save_to_dir writes"):
            decoder.load_from_dir(tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"token_min_logp": 1.0}, "token_min_logp must be less than 0 (got 1.0)"),
        ({"token_min_logp": 0.0}, "token_min_logp must be less than 0 (got 0.0)"),
        ({"lm_start_state": "a"}, "state must be the state of a hypothesis (got 'a')"),
        ({"beam_prune_logp": math.nan}, "beam_prune_logp must be less than 0 (got nan)"),
        ({"logits": [1.0]}, "logits must have a row per frame and 7 columns (got the shape (1,))"),
    ],
)
def test_wrong_values(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(elman.ElmanError, match=f"^{re.escape(expected)}$"):
        build_ctcdecoder(LABELS).decode(**({"logits": logits(1)} | options))


def test_no_frames_are_no_text() -> None:
    assert build_ctcdecoder(LABELS).decode(np.zeros((0, len(LABELS) + 1))) == ""


def test_only_models_are_saved(tmp_path: Path) -> None:
    class OtherModel:
        alphabet = elman.Corpus.from_text("abc").alphabet
        start = step = None

    with pytest.raises(elman.ElmanError, match=r"requires an elman\.Model \(got OtherModel\)$"):
        build_ctcdecoder(LABELS, OtherModel()).save_to_dir(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_the_defaults_are_pyctcdecodes() -> None:
    expected = {"beam_width": 100, "beam_prune_logp": -10.0, "token_min_logp": -5.0, "hotword_weight": 10.0}
    for method in (BeamSearchDecoderCTC.decode, BeamSearchDecoderCTC.decode_beams):
        defaults = {each.name: each.default for each in inspect.signature(method).parameters.values()}
        assert defaults["beam_width"] == expected["beam_width"]
    assert defaults | expected == defaults
