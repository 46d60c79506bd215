"""Masks: what the named patterns match, regular expressions of one's own, and positions."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.cli.commands.sample import Sample
from elman.errors import ElmanError
from elman.model.score_lines import score_lines
from elman.text import masks, read_corpus
from elman.text.lines import hash_texts
from elman.text.masks import MASKS, Masker

ALL = Masker("all")
EXAMPLES = {
    "timestamps": [
        "2005-06-03-15.42.50.675872", "2005.06.03", "2026-03-01T12:30:00Z", "2026-03-01 12:30:00,123",
        "2026-03-01T12:30:00.5+01:00", "Dec 10 06:55:46", "Nov  9 12:01:01", "Sun Dec 04 04:47:44 2005",
        "10/Oct/2000:13:55:36 -0700", "17/06/09 20:10:40", "081109 203615", "1117838570", "1117838570123",
        "12:01:01.250",
    ],
    "uuids": ["54fadb41-2c4e-40cd-baed-9335e4c35a9e", "54FADB41-2C4E-40CD-BAED-9335E4C35A9E"],
    "ips": ["10.251.73.220", "173.234.31.186", "fe80::1ff:fe23:4567:890a", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"],
    "paths": ["/var/log/dpkg.log", "/etc/cron.hourly", "/usr/bin/g++/"],
    "hex": ["0x00544EA8", "31bf3856ad364e35", "deadbeef01"],
    "numbers": ["7", "4711", "-6952295868487656571"],
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_replaces_what_it_is_named_after(name: str) -> None:
    masker, symbol = Masker(name), MASKS[name].symbol
    for text in EXAMPLES[name]:
        assert masker.mask_text(text) == symbol, text
        assert masker.mask_text(f"[{text}] at {text}, end") == f"[{symbol}] at {symbol}, end"
        assert len(ALL.mask_text(text)) == 1


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("R02-M1-N0-C:J12-U11", "RⓃ-MⓃ-NⓃ-C:JⓃ-UⓃ"),
        ("sshd[24200]: port 22 ssh2", "sshd[Ⓝ]: port Ⓝ sshⓃ"),
        ("1.2.3", "Ⓝ.Ⓝ.Ⓝ"),
        ("1.2.3.4.5", "Ⓝ.Ⓝ.Ⓝ.Ⓝ.Ⓝ"),
        ("and/or, defaced, 12:30", "and/or, defaced, Ⓝ:Ⓝ"),
        ("std::vector a::b", "std::vector a::b"),
        ("10.251.73.220:50010", "Ⓘ:Ⓝ"),
        ("blk_-6952 is at /", "blk_Ⓝ is at /"),
        ("10-20", "Ⓝ-Ⓝ"),
        ("", ""),
        *[("was refused (error: no route to host); retrying, see help.",) * 2],
    ],
)
def test_all_masks_together(text: str, masked: str) -> None:
    assert ALL.mask_text(text) == masked


def test_an_expression_of_ones_own_comes_first_and_has_its_own_groups() -> None:
    masker = Masker("numbers", r"(\w)\1\d+|job (?P<name>[a-z]+)")
    assert masker.mask_text("aa12 ab12 job x") == "Ⓡ abⓃ Ⓡ"
    assert Masker("numbers", r"(?P<numbers>a\d)").mask_text("a1 12") == "Ⓡ Ⓝ"
    assert Masker(regex="x*").mask_text("axxb") == "aⓇb"  # what is empty stays so
    assert Masker("hex", r"(?i)user \w+").mask_text("USER ann 0xAB 0XAB") == "Ⓡ Ⓗ 0XAB"  # flags are of it alone
    assert Masker("hex", "(?i)(?x) user .  # a comment").mask_text("USER1 0XAB 0xAB") == "Ⓡ 0XAB Ⓗ"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.sampled_from("a1:./-x0 fé7["), max_size=40)), st.sampled_from(["", "a+.", "x*", "é|1"]))
def test_a_column_is_found_in_the_original(lines: list[str], regex: str) -> None:
    symbols = {mask.symbol for mask in MASKS.values()} | {"Ⓡ"}
    for line, masked in zip(lines, Masker("all", regex).mask_lines(lines), strict=True):
        columns = [masked.find_original(column) for column in range(len(masked.text) + 1)]
        assert columns == sorted(set(columns))
        assert columns[-1] == len(line)
        assert all(c in symbols or line[column] == c for c, column in zip(masked.text, columns[:-1], strict=True))


def test_lines_are_masked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_CHARS", 5)
    lines = ["ab", "", "abc", "aaaaaaa", "\ud800a", ""]
    assert [line.text for line in Masker(regex="a").mask_lines(lines)] == [line.replace("a", "Ⓡ") for line in lines]


def test_an_expression_of_a_model_from_elsewhere_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"preset": "reference", "engine": "numpy", "seq_length": 5, "max_updates": 1}
    text, line = elman.Corpus.from_lines(["ab", "ba"] * 9), "a" * 34 + "b\n"
    elman.train(text, lines=True, mask_regex="(a+)+$", out=tmp_path / "run", **options)
    model = elman.load(tmp_path / "run")
    (tmp_path / "log").write_text(line)
    monkeypatch.setattr(masks, "_SECONDS", 0.5)
    uses: list[Callable[[], object]] = [
        lambda: model.score(line), lambda: list(score_lines(model, [line])),
        lambda: read_corpus(tmp_path / "log", lines=True, masker=model.masker),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ElmanError, match=r"mask_regex takes more than 0.5 seconds .* \(got '\(a\+\)\+\$'\)"):
            use()


def test_a_long_line_has_the_time_of_as_many_characters_in_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, run = list[float](), subprocess.run

    def record(*arguments: Any, timeout: float, **options: Any) -> Any:
        limits.append(timeout)
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(masks, "_CHARS", 10)
    for lines in (["a" * 2000], ["a", "b"]):
        Masker(regex="(?:a)").mask_lines(lines)
    assert limits[-2:] == [15 * 200, 15]


def test_names_are_stored_in_full_and_in_one_order() -> None:
    assert elman.Config(lines=True, mask=" Numbers, hex").mask == "hex,numbers"
    assert elman.Config(lines=True, mask="all").mask.split(",") == [*MASKS]
    assert all(name in elman.Config.__dataclass_fields__["mask"].metadata["help"] for name in MASKS)


def test_a_text_is_masked_line_by_line_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    hashes = hash_texts(["12:01:01 a", "7", "b 2026-03-01 12:30:00", "/var/log x"]).tolist()
    text = "12:01:01 a\r\n\n7\nb 2026-03-01 12:30:00\n/var/log x"
    (tmp_path / "log").write_text(text, "utf-8")
    for size in (1, 3, 1000):
        monkeypatch.setattr("elman.text.reading.CHUNK_SIZE", size)
        corpus = read_corpus(tmp_path / "log", lines=True, masker=Masker("all"))
        assert corpus.text == "Ⓣ a\n\nⓃ\nb Ⓣ\nⓅ x\n"
        assert corpus.line_hashes is not None
        assert corpus.line_hashes.tolist() == hashes
    assert Masker(regex=r"\s+").mask_text("a b\n c") == "aⓇb\nⓇc"  # no match contains a line feed


def test_a_text_in_memory_is_masked_once() -> None:
    masker = Masker("all", "[^a]")
    corpus = read_corpus(elman.Corpus.from_lines(["a1", "ba"]), lines=True, masker=masker)
    assert corpus.text == "aⓇ\nⓇa\n"
    assert read_corpus(corpus, lines=True, masker=masker) is corpus


def test_a_model_knows_the_original_lines_of_its_training_set() -> None:
    texts = [f"job {n}" for n in range(40)]
    options: dict[str, Any] = {"preset": "reference", "engine": "numpy", "seq_length": 5, "max_updates": 1}
    model = elman.train(elman.Corpus.from_lines(texts), lines=True, mask="all", validation=0.25, **options).model
    known = [model.in_training_text(text) for text in texts]
    assert sum(known) == 30
    assert not model.in_training_text("job 41")
    assert not model.in_training_text("job Ⓝ")
    assert Sample("a", model, "", 1, "job ", 9, iter(())).in_training_text("Ⓝ") is None
    with pytest.raises(ElmanError, match="text must be a string"):
        model.normalize(None)  # type: ignore[arg-type]
    plain = elman.train(elman.Corpus.from_lines(texts), lines=True, validation=0.25, **options).model
    assert known == [plain.in_training_text(text) for text in texts]  # the same lines are held out
    assert isinstance(model.line_hashes, np.ndarray)
