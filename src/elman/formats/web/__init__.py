"""Front ends: the files of the dashboard, and the single-file pages; they share ES modules."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Mount, Route

STATIC_FILES = Path(__file__).parent / "static"
STATIC = "/static"  # URL path of the static files
_IMPORT = re.compile(r'^import \{([^}]+)\} from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)


def page_routes(name: str, folder: Path) -> list[Route | Mount]:
    """Return the routes of a page: its ``index.html`` at ``/``, its files, and the files that all pages share."""
    from starlette.responses import FileResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def index(_: Request) -> Response:
        return FileResponse(folder / "index.html")

    return [
        Route("/", index),
        Mount(f"{STATIC}/{name}", StaticFiles(directory=folder)),
        Mount(STATIC, StaticFiles(directory=STATIC_FILES)),
    ]


def render_file(template: Path, styles: list[Path], script: Path, sources: str = "", **values: Any) -> str:
    """Render a single-file page, whose content security policy allows only its own style and script."""
    # The Jinja template has the variables ``policy``, ``style``, ``script`` and `values`. The page starts with the
    # module `script`. `sources` are further sources of scripts that the policy allows, and other directives.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, code = "".join(path.read_text("utf-8") for path in styles), inline_modules(script)
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(code)}'{sources};"
    named = {"policy": f"{policy} base-uri 'none'; form-action 'none'", "style": Markup(style), "script": Markup(code)}
    return environment.get_template(template.name).render(**named, **values)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def encode_bytes(data: bytes) -> str:
    """Return the bytes of an array for a page, gzipped and in base64; ``bytes.js`` decodes them."""
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def dump_json(value: Any) -> str:
    """Return a value as JSON in which nothing can close the enclosing element."""
    return json.dumps(value).replace("<", "\\u003c")


def pluralize(count: int, noun: str) -> str:
    """Return ``1 update`` or ``1,000 updates``; a no-break space keeps the number and its unit on one line."""
    return f"{count:,}\u00a0{noun}" + ("" if count == 1 else "s")


def inline_modules(entry: Path) -> str:
    """Return an ES module and all modules that it imports as one script without imports, for a single-file page."""
    # Every module becomes a function that returns its exports. Modules may only use named imports and exported
    # declarations, and files of the same name are not supported. ``../dom.js`` is a file that all pages share.
    scripts: dict[str, str] = {}

    def inline(module: Path) -> None:
        source, name = module.read_text("utf-8"), _variable(module)
        for _, imported in _IMPORT.findall(source):
            path = module.parent / imported
            if not path.exists():
                path = STATIC_FILES / path.name
            if _variable(path) not in scripts:
                inline(path)
        body = _IMPORT.sub(lambda match: f"const {{{match[1]}}} = {_variable(Path(match[2]))};", source)
        body = _EXPORT.sub(lambda match: match[1], body)
        exports = ", ".join(exported for _, exported in _EXPORT.findall(source))
        scripts[name] = f"const {name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"

    inline(entry)
    return "\n".join(scripts.values())


def _variable(module: Path) -> str:
    return f"${module.stem.replace('-', '_')}"
