"""Gather the texts of the built-in model, for training and for measurements.

    python scripts/builtin_texts.py CACHE OUT

Sources are git repositories and Debian packages (``apt-get download``, ``dpkg-deb``), all with fixed versions, which
are kept in CACHE. A repository that you cloned yourself is used if its folder there is OWNER+NAME. ``OUT/train.txt`` is
the training text; the n-gram prior counts its last `COUNTED` characters. ``OUT/held_out/`` has files for
``benchmarks/builtin_model.py``, none of which is in the training text. ``OUT/sources.json`` lists each source with its
licence and the SHA-256 of the text that was read. ``src/elman/storage/builtin/NOTICE.md`` describes the licences.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import re
import subprocess
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

COUNTED = 4_000_000
"""Characters at the end of the training text that the n-gram prior counts, and that the model file contains."""
PIECE = 20_000
"""Characters of a piece. Pieces of all texts are shuffled, so every part of the training text contains all texts."""
SEED = 1
CRLF_EVERY = 25
"""Every 25th piece that is not counted has the line ends of Windows, so that the model learns them."""
HELD_OUT_BYTES = 100_000
OTHER_CHARACTERS = "“”‘’—é"
ALPHABET = frozenset("\n\t\r" + "".join(map(chr, range(32, 127))) + OTHER_CHARACTERS)


@dataclass(frozen=True)
class Source:
    """Texts of one origin.

    Parameters
    ----------
    name : str
        The name of the texts in ``sources.json``.
    licence : str
    read : callable
        Returns the texts by name, in order, from the cache.
    counted : int
        Characters of these texts that the n-gram prior counts.
    """

    name: str
    licence: str
    read: Callable[[Path], dict[str, str]]
    counted: int


def git_file(cache: Path, repository: str, commit: str, path: str) -> bytes:
    """Return a file of a repository at a commit; the repository is cloned if it is not in the cache."""
    clone = cache / repository.replace("/", "+")
    if not clone.exists():
        subprocess.run(["git", "clone", "--bare", f"https://github.com/{repository}", str(clone)], check=True)
    return subprocess.run(["git", "-C", str(clone), "show", f"{commit}:{path}"], check=True, capture_output=True).stdout


def debian_folder(cache: Path, package: str, version: str) -> Path:
    """Return the folder with the files of a Debian package."""
    folder = cache / f"{package}_{version.replace(':', '%3a')}"
    if not folder.exists():
        subprocess.run(["apt-get", "download", f"{package}={version}"], check=True, cwd=cache)
        (archive,) = cache.glob(f"{folder.name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return folder


GUTENBERG = {
    "A-Tale-of-Two-Cities_98": ("0f6111bc7237af7375295ec1754c2e57e19f67f1", "98-0.txt"),
    "Adventures-of-Huckleberry-Finn_76": ("8494afff3a26f95f37376f7a79a014cf818ccaba", "76.txt"),
    "Dracula_345": ("5216d6ea255fbf8966426a160b68251b18f16907", "345.txt"),
    "Frankenstein_84": ("c98a483bd1f34e7366126b81bcedd1a6faee636e", "84-0.txt"),
    "Great-Expectations_1400": ("889db0e100928a957f469bf834c564d04065c8e6", "1400.txt"),
    "Heart-of-Darkness_219": ("b266e23e2e8ba2d82121f18e2f6434f3775ce260", "219.txt"),
    "Middlemarch_145": ("39add53d31f10ba5cecdcbe8c095f90b25fd4b3f", "145.txt"),
    "Moby-Dick--Or-The-Whale_2701": ("bdf1948e6cd00963730971e5624e764a35f238c3", "2701-0.txt"),
    "Pride-and-Prejudice_1342": ("81db45c9c48c592f0b77f01fc59e677ad0a5634e", "1342-0.txt"),
    "The-Adventures-of-Sherlock-Holmes_1661": ("7e5dd2703fbf503c004063e96ab7c61262375e5f", "1661.txt"),
    "The-Age-of-Innocence_541": ("28e8179a3fc40a92d4eadbaf33a45aa6ec2c895c", "541.txt"),
    "The-Autobiography-of-Benjamin-Franklin_148": ("6a006405564a4927409f7a04ccae741e51e9ef70", "148.txt"),
    "The-Call-of-the-Wild_215": ("c1fcf9ec7af90edd09a7a2d3b6f1354b153494d0", "215.txt"),
    "The-Innocents-Abroad_3176": ("09f22c19048dd45835bd52da24e76bbd8f249b13", "3176.txt"),
    "The-Picture-of-Dorian-Gray_174": ("2e7a9776d3179fac76db4370fd66231ac0f4c184", "174.txt"),
    "The-Scarlet-Letter_33": ("ab23ba5a4570fd0337e63f6b226be3cfa652ff34", "33.txt"),
    "The-Time-Machine_35": ("154a5c628743bd7d35d1af0fc4bcc017f0e111e1", "35.txt"),
    "The-War-of-the-Worlds_36": ("8b08fa3a7cbef117c80b2b437adc46e75c37dbf0", "36-0.txt"),
    "Treasure-Island_120": ("46f38f7b63dbda34415ce29ef5548023a8ba8dda", "120-0.txt"),
}
"""Books of the 19th and early 20th century, by repository of GITenberg: commit and file."""

HELD_OUT_BOOKS = {
    "tom_sawyer.txt": ("The-Adventures-of-Tom-Sawyer_74", "9b4174649064f197ca27895d98806b4a8659722b", "74.txt"),
    "hound_of_the_baskervilles.txt": (
        "The-Hound-of-the-Baskervilles_2852", "bb11a2bd7e3cda991b7f83936e811a0f472c089c", "2852.txt",
    ),
    "dubliners.txt": ("Dubliners_2814", "05bf50571cba48fc1db1f1c0fe0f663269cb241b", "2814-0.txt"),
}  # fmt: skip
BROTLI_COMMIT = "8e10eeb3378f6c459dbaf033ca6727e9816afccb"
NLTK_COMMIT = "5db857e6f7df11eabb5e5665836db9ec8df07e28"
PYTHON_VERSION = "3.13.5-2+deb13u5"
HELD_OUT_ADDRESSES = ("2005", "2006")
HELD_OUT_MODULES = ("argparse.py", "tarfile.py")
HELD_OUT_PAGE = "library/multiprocessing.rst.txt"


def gutenberg_text(data: bytes) -> str:
    """Return a book of Project Gutenberg without its header, licence and the notes of those who produced it."""
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    text = re.split(r"\*\*\* ?START OF .*\*\*\*", text, maxsplit=1)[-1]
    text = re.split(r"\n(?:End of (?:the |this )?Project Gutenberg|\*\*\* ?END OF )", text, maxsplit=1)[0]
    paragraphs = re.split(r"\n{2,}", text)
    return "\n\n".join(each for each in paragraphs if not re.search(r"Produced by |Gutenberg|pgdp|E-text", each))


def read_books(cache: Path) -> dict[str, str]:
    """Return the books by name."""
    return {
        name: gutenberg_text(git_file(cache, f"GITenberg/{name}", commit, path))
        for name, (commit, path) in GUTENBERG.items()
    }


def read_addresses(cache: Path) -> dict[str, str]:
    """Return the addresses of presidents of the United States to Congress and at their inauguration, by name."""
    texts = {}
    for corpus in ("state_union", "inaugural"):
        archive = git_file(cache, "nltk/nltk_data", NLTK_COMMIT, f"packages/corpora/{corpus}.zip")
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            for name in sorted(file.namelist()):
                if re.search(r"/\d{4}-", name):
                    texts[name] = file.read(name).decode("utf-8", "ignore").replace("\r\n", "\n")
    return texts


def read_training_addresses(cache: Path) -> dict[str, str]:
    """Return the addresses, except for the held-out years."""
    return {name: text for name, text in read_addresses(cache).items() if not _is_of(name, HELD_OUT_ADDRESSES)}


def _is_of(name: str, years: tuple[str, ...]) -> bool:
    return name.rpartition("/")[2][:4] in years


def read_jargon(cache: Path) -> dict[str, str]:
    """Return the Jargon File."""
    path = debian_folder(cache, "dict-jargon", "4.4.7-3.1") / "usr/share/dictd/jargon.dict.dz"
    return {"jargon": gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")}


def _documentation(cache: Path) -> Path:
    return debian_folder(cache, "python3.13-doc", PYTHON_VERSION) / "usr/share/doc/python3.13/html/_sources"


def read_documentation(cache: Path) -> dict[str, str]:
    """Return pages of Python's documentation."""
    folder = _documentation(cache)
    kinds = ("tutorial", "howto", "faq", "library", "reference")
    pages = sorted(path for kind in kinds for path in folder.glob(f"{kind}/*"))
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in pages if path != folder / HELD_OUT_PAGE}


def _library(cache: Path) -> list[Path]:
    """Return the modules of Python's standard library."""
    folders = [debian_folder(cache, f"libpython3.13-{part}", PYTHON_VERSION) for part in ("minimal", "stdlib")]
    return sorted(path for folder in folders for path in folder.glob("usr/lib/python3.13/**/*.py"))


def read_library(cache: Path) -> dict[str, str]:
    """Return modules of Python's standard library, except tables (such as encodings) and files with own licences."""
    excluded = re.compile("/(encodings|pydoc_data|idlelib|lib2to3|test)/|sysconfigdata")
    own_licence = re.compile("Permission to use|Permission is hereby|Redistribution and use|All rights reserved", re.I)
    paths = [path for path in _library(cache) if not excluded.search(path.as_posix())]
    texts = {path.as_posix().partition("usr/lib/")[2]: path.read_text("utf-8") for path in paths}
    return {
        name: text
        for name, text in texts.items()
        if not own_licence.search(text) and not name.endswith(HELD_OUT_MODULES)
    }


PUBLIC_DOMAIN, PYTHON = "public domain", "PSF-2.0"
SOURCES = (
    Source("Project Gutenberg, by GITenberg", PUBLIC_DOMAIN, read_books, 1_600_000),
    Source("addresses of presidents of the United States, by NLTK", PUBLIC_DOMAIN, read_training_addresses, 750_000),
    Source("Jargon File 4.4.7", PUBLIC_DOMAIN, read_jargon, 350_000),
    Source("documentation of Python 3.13", PYTHON, read_documentation, 700_000),
    Source("standard library of Python 3.13", PYTHON, read_library, 600_000),
)
LIMITS = {"documentation of Python 3.13": 4_000_000, "standard library of Python 3.13": 3_500_000}
"""Maximum characters of a source that are used."""


def normalize(text: str) -> str:
    """Return a text in the characters of the alphabet, with at most two blank lines in a row."""
    if not ALPHABET.issuperset(text):
        known = (each if each in ALPHABET else unicodedata.normalize("NFKD", each) for each in text)
        text = "".join(each for each in "".join(known) if each in ALPHABET)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"


def cut(text: str) -> Iterator[str]:
    """Yield pieces of a text of about `PIECE` characters, which end where a paragraph or at least a line ends."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            at = text.rfind("\n\n", start + PIECE // 2, end)
            at = text.rfind("\n", start, end) if at < 0 else at
            end = end if at < 0 else at + 1
        yield text[start:end]
        start = end


def split_source(source: Source, texts: dict[str, str], rng: random.Random) -> tuple[list[str], list[str]]:
    """Return the pieces of a source that are not counted, and the counted ones."""
    pieces = [piece for text in texts.values() for piece in cut(normalize(text))]
    rng.shuffle(pieces)
    counted: list[str] = []
    while pieces and sum(map(len, counted)) < source.counted:
        counted.append(pieces.pop())
    limit = LIMITS.get(source.name, 1 << 62) - sum(map(len, counted))
    others = [piece for at, piece in enumerate(pieces) if sum(map(len, pieces[:at])) < limit]
    return others, counted


def gather(cache: Path) -> tuple[str, list[dict[str, object]]]:
    """Return the training text and the description of its sources."""
    rng = random.Random(SEED)
    others, counted, sources = [], [], []
    for source in SOURCES:
        texts = source.read(cache)
        parts = split_source(source, texts, rng)
        others += parts[0]
        counted += parts[1]
        digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
        chars = [sum(map(len, part)) for part in parts]
        about = {"source": source.name, "licence": source.licence, "chars": sum(chars), "counted": chars[1]}
        sources.append(about | {"texts": list(texts), "sha256": digest})
    rng.shuffle(others)
    rng.shuffle(counted)
    others = [piece if at % CRLF_EVERY else piece.replace("\n", "\r\n") for at, piece in enumerate(others)]
    return "".join(others) + "".join(counted)[-COUNTED:], sources


def held_out_files(cache: Path) -> dict[str, bytes]:
    """Return the files for measurements, by name, each of at most `HELD_OUT_BYTES`."""
    files = {
        name: gutenberg_text(git_file(cache, f"GITenberg/{repository}", commit, path)).lstrip().encode()
        for name, (repository, commit, path) in HELD_OUT_BOOKS.items()
    }
    for name in ("alice29.txt", "asyoulik.txt", "lcet10.txt", "plrabn12.txt"):
        files[name] = git_file(cache, "google/brotli", BROTLI_COMMIT, f"tests/testdata/{name}")
    addresses = (text for name, text in read_addresses(cache).items() if _is_of(name, HELD_OUT_ADDRESSES))
    files["state_of_the_union_2005.txt"] = "\n".join(addresses).encode()
    files |= {path.name: path.read_bytes() for path in _library(cache) if path.name in HELD_OUT_MODULES}
    files["multiprocessing.rst"] = (_documentation(cache) / HELD_OUT_PAGE).read_bytes()
    return {name: data[:HELD_OUT_BYTES] for name, data in files.items()}


def main() -> None:
    """Gather and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    (options.out / "held_out").mkdir(parents=True, exist_ok=True)
    text, sources = gather(options.cache)
    (options.out / "train.txt").write_text(text, encoding="utf-8", newline="")
    for name, data in held_out_files(options.cache).items():
        (options.out / "held_out" / name).write_bytes(data)
    about = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "chars": len(text), "sources": sources}
    (options.out / "sources.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for source in sources:
        print(f"{source['chars']:>12,} {source['counted']:>10,}  {source['licence']:<14} {source['source']}")
    print(f"{len(text):>12,} characters")


if __name__ == "__main__":
    main()
