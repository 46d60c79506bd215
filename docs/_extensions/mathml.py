"""Formulas as MathML, written when the site is built: pages need no script, and formulas can be read aloud and copied.

The font is STIX Two Math, so that formulas look the same on every system. It is part of the package ziamath.
"""

import re
from pathlib import Path
from typing import Any

import ziamath
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

FUNCTION = re.compile(r"(?<!<msup>)(?<!<msub>)(<m[io]>(?:tanh|log|ln)</m[io]>)(?=<(?!/|mo stretchy))")
"""A function whose argument follows without parentheses and must be separated by a space."""
NOT_UNDERSTOOD = re.compile(r"<mi>(&|\\\w+)</mi>")

logger = logging.getLogger(__name__)


def render(node: nodes.Element, display: str) -> str:
    """Return a formula as MathML; warn of a formula that the converter does not understand."""
    # They are the same in MathML, and the converter knows only one of them.
    mathml = convert(node.astext().replace("{aligned}", "{align*}"), display=display)
    if problem := NOT_UNDERSTOOD.search(mathml):
        logger.warning("the formula has %s, which is not supported: %s", problem[1], node.astext(), location=node)
    return FUNCTION.sub(r'\1<mspace width="0.17em"/>', mathml)


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula in a line of text."""
    translator.body.append(render(node, "inline"))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed formula; a wide one scrolls by itself on a narrow screen."""
    translator.body.append(f'<div class="formula" tabindex="0">{render(node, "block")}</div>\n')
    raise nodes.SkipNode


def add_font(app: Sphinx, config: Config) -> None:
    """Copy the font to the site."""
    config.html_static_path.append(str(Path(ziamath.__file__).parent / "fonts"))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the renderer `mathml`."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    app.connect("config-inited", add_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
