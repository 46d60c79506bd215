"""Front ends: the files of the playground, the dashboard and the page of ``elman explain``, which share ES modules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Mount, Route

STATIC_FILES = Path(__file__).parent / "static"
STATIC = "/static"
"""URL path of the static files."""
_IMPORT = re.compile(r'^import \{([^}]+)\} from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)


def page_routes(page: str) -> list[Route | Mount]:
    """Return the routes of a page: its ``index.html`` at ``/``, and the static files, which all pages share."""
    from starlette.responses import FileResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def index(_: Request) -> Response:
        return FileResponse(STATIC_FILES / page / "index.html")

    return [Route("/", index), Mount(STATIC, StaticFiles(directory=STATIC_FILES))]


def inline_modules(entry: Path) -> str:
    """Return an ES module and all that it imports as one script without imports, for a page that is one file.

    Every module becomes a function that returns its exports. Modules may only use named imports and exported
    declarations, and files of the same name are not supported.

    Parameters
    ----------
    entry : Path
        The module that the page starts with.
    """
    scripts: dict[str, str] = {}
    _inline(entry, scripts)
    return "\n".join(scripts.values())


def _inline(module: Path, scripts: dict[str, str]) -> None:
    """Add a module to `scripts`, after those that it imports."""
    source, name = module.read_text("utf-8"), _variable(module)
    for _, imported in _IMPORT.findall(source):
        if _variable(path := (module.parent / imported).resolve()) not in scripts:
            _inline(path, scripts)
    body = _IMPORT.sub(lambda match: f"const {{{match[1]}}} = {_variable(Path(match[2]))};", source)
    body = _EXPORT.sub(lambda match: match[1], body)
    exports = ", ".join(exported for _, exported in _EXPORT.findall(source))
    scripts[name] = f"const {name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _variable(module: Path) -> str:
    return f"${module.stem.replace('-', '_')}"
