"""Check the metadata of wheels and sdists as package indexes do, and that the README renders there.

python scripts/check_metadata.py dist/*
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata


def read_metadata(path: Path) -> bytes:
    """Return the metadata file of a wheel or an sdist."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
    with tarfile.open(path) as archive:
        name = next(name for name in archive.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", name))
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def check(path: Path) -> str:
    """Check a distribution; return its name and version.

    Raises
    ------
    ExceptionGroup
        If a field is invalid.
    """
    metadata = Metadata.from_email(read_metadata(path), validate=True)
    if metadata.description_content_type != "text/markdown" or not metadata.description:
        raise SystemExit(f"{path}: no description in Markdown")
    return f"{metadata.name} {metadata.version}"


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("pass the wheels and sdists to check")
    for argument in sys.argv[1:]:
        print(f"{argument}: {check(Path(argument))}")
