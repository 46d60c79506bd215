"""The command decode: files and directories of arrays, its output, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from elman.apps.decode import commands
from elman.network.output import log_softmax
from support.cli import Command, assert_refused

TEXTS = ["ab", "b a"]
SYMBOLS = ["a", "", "b", " "]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of the two texts in several forms, the symbols and the references, in the current directory."""
    monkeypatch.chdir(tmp_path)
    frames = []
    for text in TEXTS:
        logits = np.zeros((8, 4))
        logits[:, 1] = 6
        logits[range(1, 2 * len(text), 2), [SYMBOLS.index(each) for each in text]] = 9
        frames.append(log_softmax(logits))
    np.savez("lines.npz", one=frames[0], two=frames[1])
    np.save("batch.npy", np.array(frames) + 3)
    Path("folder").mkdir()
    for name, each in zip("ab", frames, strict=True):
        np.save(f"folder/{name}.npy", each.astype(np.float16))
    Path("symbols.txt").write_text("\n".join(SYMBOLS) + "\n")
    Path("symbols.json").write_text(json.dumps({" ": 3, "a": 0, "b": 2, "<pad>": 1}))
    Path("references.txt").write_text("ab\nb b\n")


glob = Path.glob


@pytest.mark.parametrize(
    "arguments",
    [
        ("lines.npz", "--symbols", "symbols.txt"),
        ("folder", "--symbols", "symbols.json"),
        ("batch.npy", "--symbols", "symbols.txt", "--from-logits"),
        ("folder/a.npy", "folder/b.npy", "--symbols", "symbols.txt", "--hotword", "ab"),
    ],
)
def test_a_text_per_line(arguments: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda *each: sorted(glob(*each), reverse=True))  # as a file system lists them
    assert command("decode", "none", *arguments) == (0, "ab\nb a\n", "")


def test_references_and_weights(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LINES_PER_CALL", 1)
    arguments = "decode", "none", "lines.npz", "--symbols", "symbols.txt", "--references", "references.txt"
    assert command(*arguments) == (0, "ab\nb a\n", "1 errors in 5 characters: CER 20.00%\n")
    ended = command(*arguments, "--json", "--choose-weights")
    found: dict[str, Any] = json.loads(ended.out)
    assert [each["name"] for each in found["texts"]] == ["lines.npz:one", "lines.npz:two"]
    assert found["texts"][0]["frames"] == [[1, 1], [3, 3]]
    assert (found["alpha"], found["beta"], found["errors"], found["chars"], found["cer"]) == (0, 0, 1, 5, 0.2)
    assert "alpha 0, beta 0: 1 errors" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.npz", "--symbols", "symbols.txt"), "cannot read 'none.npz' (No such file or directory)"),
        (("symbols.txt", "--symbols", "symbols.txt"), "pass a file .npy or .npz"),
        (("--symbols", "symbols.txt"), "nothing to decode"),
        (("lines.npz", "--symbols", "symbols.txt", "--choose-weights"), "--choose-weights requires --references"),
        (("batch.npy", "--symbols", "symbols.txt"), "sum to 20.09"),
        (("batch.npy", "--symbols", "symbols.txt", "--references", "symbols.txt"), "2 lines and 4 references"),
        (("lines.npz", "--symbols", "references.txt"), "do not contain the blank"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], words: str, command: Command) -> None:
    assert_refused(command("decode", "none", *arguments), words)


def _make_file(kind: str, path: Path) -> None:
    """Write a file that `numpy.load` cannot read, or not as an array."""
    header = b"\x93NUMPY\x01\x00\x76\x00"
    match kind:
        case "huge shape":
            shape = "{'descr': '<f8', 'fortran_order': False, 'shape': (5000000000, 4)}"
            path.write_bytes(header + shape.ljust(117).encode() + b"\n" + bytes(64))
        case "integer without end":
            path.write_bytes(header + (b"{'descr': '<f8', 'shape': (" + b"9" * 5000 + b")}").ljust(117) + b"\n")
        case "no token":
            path.write_bytes(header + b"(" * 117 + b"\n")
        case "pickle":
            np.save(path, np.array([{}]), allow_pickle=True)
        case _:
            with ZipFile(path, "w", ZIP_DEFLATED) as archive:
                content = b"\x93NUMPY" if kind == "short" else b"text"
                archive.writestr("a.txt" if kind == "no array" else "a.npy", content)
            if kind == "damaged":
                data = bytearray(path.read_bytes())
                data[35:39] = b"\xff\xff\xff\xff"
                path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.npy", kind) for kind in ("huge shape", "integer without end", "no token", "pickle")),
        *(("a.npz", kind) for kind in ("no array", "short", "text", "damaged")),
    ],
)
def test_hostile_arrays(name: str, kind: str, command: Command) -> None:
    _make_file(kind, Path(name))
    words = f"{name!r} is not an array of NumPy: pass a file .npy or .npz"
    assert_refused(command("decode", "none", name, "--symbols", "symbols.txt"), words)


def test_arrays_are_in_the_order_of_their_numbers_and_named_in_errors(command: Command) -> None:
    Path("many").mkdir()
    with np.load("lines.npz") as lines:
        arrays = [*lines.values()]
    for number, array in zip((2, 10), arrays[:2], strict=True):
        np.save(f"many/line{number}.npy", array)
    decode = ("decode", "none", "many", "--symbols", "symbols.txt")
    expected = command("decode", "none", "many/line2.npy", "many/line10.npy", "--symbols", "symbols.txt").out
    assert command(*decode).out == expected != ""
    np.save("many/line3.npy", np.full_like(arrays[0], np.nan))
    assert_refused(command(*decode), "'many/line3.npy': log_probs must be finite in every frame (got nan in frame 0)")


def test_a_file_may_not_expand_to_any_size(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.apps.decode.commands.MAX_ARRAYS", 10_000)
    np.savez_compressed("bomb.npz", np.zeros((1000, 3)))
    words = "the arrays in 'bomb.npz' have more than 10,000 bytes (got 24,128): split it"
    assert_refused(command("decode", "none", "bomb.npz", "--symbols", "symbols.txt"), words)


@pytest.mark.parametrize("option", ["--symbols", "--references"])
def test_a_device_without_an_end_is_refused(command: Command, option: str) -> None:
    arguments = (
        ["--symbols", "/dev/zero"] if option == "--symbols" else ["--symbols", "symbols.txt", option, "/dev/zero"]
    )
    assert_refused(
        command("decode", "none", "lines.npz", *arguments), "'/dev/zero' has more than 100,000,000 characters"
    )


def test_symbols_too_deep_for_json_and_a_pipe_of_arrays(command: Command) -> None:
    Path("deep.json").write_text("[" * 100_000)
    assert_refused(command("decode", "none", "lines.npz", "--symbols", "deep.json"), "cannot read 'deep.json'")
    os.mkfifo("pipe.npy")
    assert_refused(command("decode", "none", "pipe.npy", "--symbols", "symbols.txt"), "Not a regular file")


def test_byte_order_marks_are_no_text(command: Command) -> None:
    for name in ("symbols.txt", "references.txt"):
        Path(name).write_text(Path(name).read_text("utf-8"), "utf-8-sig")
    arguments = "decode", "none", "lines.npz", "--symbols", "symbols.txt", "--references", "references.txt"
    assert command(*arguments) == (0, "ab\nb a\n", "1 errors in 5 characters: CER 20.00%\n")


def test_weights_of_any_size_give_finite_scores(command: Command) -> None:
    arguments = "decode", "none", "lines.npz", "--symbols", "symbols.txt"
    assert_refused(command(*arguments, "--beta", "1e308"), "--beta must be from -1,000,000 to 1,000,000 (got 1e+308)")
    assert "Infinity" not in command(*arguments, "--beta", "1e6", "--json").out
