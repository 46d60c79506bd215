"""Configuration of the documentation site, which `scripts/docs` builds."""

import sys
from pathlib import Path

import elman

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

project = "Elman"
version = release = elman.__version__
html_title = f"Elman {release}"
language = "en"
# Not of dashes: --validation is an option.
smartquotes_action = "qe"

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "mathml",
    "repository_files",
]

# Code is checked by what runs it, not by a lexer's guess.
highlight_language = "none"
copybutton_exclude = ".linenos, .gp, .go"

templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"
default_role = "py:obj"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Names of parameters, and modules that are not part of the API.
nitpick_ignore_regex = [
    ("py:obj", r"[a-z]\w*"),
    ("py:obj", r"elman\.(apps|engine_registry|model|network|text)\..*"),
]

myst_enable_extensions = ["colon_fence", "dollarmath"]
# As on GitHub, where the pages are read as well.
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
# Notebooks are executed by scripts/execute_notebooks.py, which stores their outputs.
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["elman.css"]
html_sidebars: dict[str, list[str]] = {"index": [], "changelog": [], "contributing": []}
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "back_to_top_button": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
copyright = "the authors of Elman, MIT licence"
exclude_patterns = ["_extensions", "_templates"]
