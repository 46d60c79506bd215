"""Processes in which packages cannot be imported, as on a machine for which they have no wheels."""

import os
from pathlib import Path


def hide_packages(folder: Path, *names: str) -> dict[str, str]:
    """Return environment variables for a subprocess in which these packages are not installed; `folder` is theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in names)]
    (folder / "sitecustomize.py").write_text("\n".join(lines), "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}
