"""Write the generated parts of the pages in docs/ from the code. With --check, only verify that they are up to date.

A part is the text of a page between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from inspect import getsource
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from elman.apps.course.course import write_notebook
from elman.apps.course.faults import KIT
from elman.apps.serve import metrics as prometheus
from elman.apps.serve.app import ERRORS, describe_app
from elman.apps.serve.requests import SEED, UNSUPPORTED
from elman.apps.serve.settings import Settings
from elman.cli import parameters
from elman.cli.frame import create_app
from elman.config import Config
from elman.engine import get_engine
from elman.model import Model
from elman.network import Architecture, initial_parameters
from elman.network.sampling import list_sampling_options
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.recipe import PRESETS, choose_text_limits
from elman.runs.history import COLUMNS, Metrics
from elman.runs.loggers import optional_loggers
from elman.text import Alphabet

DOCS = Path(__file__).parents[1] / "docs"
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def mark_options(text: str) -> str:
    """Return a text with its options as code, except in headings; lines do not break at hyphens within code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"(?<![\w-])(?<!## elman )--[a-z][a-z-]*[a-z]", r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


def commands() -> str:
    """Return the sections of the commands, without the content of other pages and of the common options."""
    parameters.shows_all = True  # also options that --help does not show
    docs = create_app(describe=True).generate_docs().partition("## elman --install-completion")[0].rstrip() + "\n\n"
    docs = re.sub(r"^# elman\n|## Table of Contents\n\n( *- [^\n]*\n)+\n", "", docs, flags=re.MULTILINE)
    docs = re.sub(r"```console\n[^`]*```\n\n", "", docs)  # the lists of options say which are required
    others = r"\*\*Other\*\*:\n\n(\* `[^\n]*\n)+\n"
    docs = re.sub(others, "**Other**: [`cache`](#elman-cache)\n\n", docs, count=1)
    docs = re.sub(others, "", docs)  # the page describes the options of all commands
    docs = re.sub(r"^(\* \[`[\w-]+`\]\([^)]+\)): .*$", r"\1", docs, flags=re.MULTILINE)  # each section has it
    docs = re.sub(r"(?<=\))\n\* (?=\[`)", ", ", docs)  # the commands of a group in one line
    docs = re.sub(r"^(\*\*\w+\*\*:)\n\n\* (?=\[`)", r"\1 ", docs, flags=re.MULTILINE)
    sections = re.split(r"^(?=## elman )", docs, flags=re.MULTILINE)
    for n, section in enumerate(sections):
        if section.startswith("## elman train\n"):
            options, training = section.split("**Training**:\n")
            training = re.sub(r" \*\[default: [^]]*\]\*", "", training)  # they are in the table of presets
            sections[n] = f"{options}**Training**:\n{training}"
        elif section.startswith("## elman sweep\n"):
            sections[n] = re.sub(r"\*\*Training\*\*:\n\n.*", SETTINGS, section, flags=re.DOTALL)
    docs = "".join(sections)
    docs = re.sub(r"(?<= )(?:\n+ +\* [^\n]*)+", "", re.sub(r"(`--(?:preset|log) [^\n]*)\n\n(?= +\* )", r"\1 \n", docs))
    docs = re.sub(r"(?<=`CORPUS`: )Text file.*(?= \*\[default)", "One [text](#common-options).", docs)
    docs = re.sub(r"^\*\*(?:Arguments|Parameters)\*\*:\n\n", "", docs, flags=re.MULTILINE)
    docs = docs.replace("Hyperparameter preset.", "Hyperparameter [preset](settings.md#presets), by default minute.")
    docs = re.sub(r" `?--help-all`? shows all settings\.", "", docs)
    docs = docs.replace("preset minute.\n", "[preset](settings.md#presets) minute.\n")
    docs = re.sub(r"(?<=`--by CHOICE`: )Score.*?\. (?=\*\[)", f"[Score of a line]({SCORES}). ", docs)
    docs = docs.replace("metrics for other tools", "metrics with other [loggers](metrics.md#loggers)")
    docs = docs.replace("<sp>", "`<sp>`")
    docs = re.sub(r"^(.*?) \*\[choices: ([^]]*)\]\*", _omit_choices, docs, flags=re.MULTILINE)
    docs = docs.replace(" *[default: False]*", "").replace(' *[default: ""]*', "").replace(" *[default: ]*", "")
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" +$", "", _share_options(docs), flags=re.MULTILINE)).strip()


def _omit_choices(line: re.Match[str]) -> str:
    """Return the description of an option, without its choices if the description names them all."""
    return line[1] if all(choice in line[1] for choice in line[2].split(", ")) else line[0]


def _share_options(docs: str) -> str:
    """Describe the arguments and options of several commands once, at the end; each command names its own."""
    lines = Counter(re.findall(r"^\* `[A-Z-].*$", docs, re.MULTILINE))
    names = {line: line.split("`")[1].split()[0].rstrip(",") for line in lines}
    most_common = {names[line]: line for line, _ in reversed(lines.most_common())}  # the last of each name counts
    shared = {
        line: names[line]
        for line, count in sorted(lines.items(), key=lambda item: item[0].startswith("* `-"))  # arguments first
        if (count > 3 or (count > 1 and len(line) > 90)) and most_common[names[line]] == line
    }
    sections = []
    for section in re.split(r"^(?=###? )", docs, flags=re.MULTILINE):
        common = [f"`{name}`" for line, name in shared.items() if f"{line}\n" in section]
        own = "\n".join(line for line in section.split("\n") if line not in shared)
        own = re.sub(r"\*\*\w+\*\*:\n\s*(?=\*\*|\Z)", "", own)  # a group without options
        sections.append(own + (f"\n\n[Common](#common-options): {', '.join(common)}.\n\n" if common else ""))
    return "".join(sections) + "\n\n## Common options\n\n" + "\n".join(shared)


SETTINGS = "**Training**: the options of this group of [`elman train`](#elman-train).\n\n"
"""In place of the settings in the section of ``sweep``."""
SCORES = "../how_to/evaluate_and_score.md#score-lines"


def settings() -> str:
    """Return the settings in which presets differ, with the first preset's as the defaults, and the other settings.

    A preset that differs from an earlier one in only a few settings is described by these settings.
    """
    values = {name: vars(Config()) | preset.settings for name, preset in PRESETS.items()}
    columns, described, names = list[str](), list[str](), [each.name for each in fields(Config)]
    for name, own in values.items():
        changes = {other: [each for each in names if values[other][each] != own[each]] for other in columns}
        nearest = min(changes, key=lambda other: len(changes[other]), default=name)
        if columns and len(changes[nearest]) <= MAX_CHANGES:
            changed = ", ".join(f"{code(each)} {_show(own[each])}" for each in changes[nearest])
            described.append(f"- {code(name)}: as {code(nearest)}, but {changed}")
        else:
            columns.append(name)
    rows, same = [], []
    for each in names:
        default, *others = (values[name][each] for name in columns)
        if any(value != default for value in others):
            shown = ("" if value == default else _show(value) for value in others)
            rows.append([code(each), _show(default), *shown])
        elif each not in choose_text_limits(1):
            same.append(f"{code(each)} {DESCRIBED.get(each, _show(default))}")
    header = ["setting", *map(code, columns)]
    return "\n\n".join([table(header, rows), f"The same in these presets: {', '.join(same)}.", "\n".join(described)])


MAX_CHANGES = 10
"""Maximum number of differing settings with which a preset is described by them."""
DESCRIBED = {"engine": "numba (without Numba: numpy)"}
"""Defaults that depend on the installation."""


def _show(value: object) -> str:
    return "none" if value in (None, "") else f"{value:,}" if type(value) is int else str(value)


def metrics_columns() -> str:
    """Return the columns of ``metrics.csv``, from the docstrings of the fields of their class."""
    (definition,) = ast.parse(getsource(Metrics)).body
    assert isinstance(definition, ast.ClassDef)
    described = {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
    return table(["column", "content"], ([code(column), described[column]] for column in COLUMNS))


def loggers() -> str:
    """Return the loggers of --log."""
    rows = (
        [
            code(f"--log {name}"),
            code(logger.target),
            logger.help,
            code(f"elman[{logger.extra}]") if logger.extra else "",
        ]
        for name, logger in optional_loggers().items()
    )
    return table(["option", "writes, in the run directory", "content", "needs"], rows)


def prometheus_metrics() -> str:
    """Return the metrics of the server, without the metrics of its process, which are not Elman's."""
    own = [m for m in prometheus.Metrics({}).registry.collect() if m.name.startswith("elman_")]
    rows = (
        [code(m.name + "_total" if m.type == "counter" else m.name), m.type, m.documentation]
        for m in sorted(own, key=lambda metric: metric.name)
    )
    return table(["metric", "type", "meaning"], rows)


def endpoints() -> str:
    """Return the paths of the server."""
    paths = _document()["paths"].items()
    rows = ([code(f"{', '.join(each).upper()} {path}"), next(iter(each.values()))["summary"]] for path, each in paths)
    return table(["request", "what it does"], rows)


def completion_arguments() -> str:
    """Return the arguments of ``POST /v1/completions``, without the sampling options and unsupported arguments."""
    properties = _document()["components"]["schemas"]["CompletionRequest"]["properties"]
    sampling = {option.name for option in list_sampling_options()}
    rows = (
        [code(name), _type(schema), _default(schema.get("default")), schema["description"]]
        for name, schema in properties.items()
        if name not in sampling and schema["description"] != UNSUPPORTED
    )
    return table(["argument", "values", "default", "meaning"], rows)


def _default(value: object) -> str:
    return "" if value in (None, "", [], {}) or isinstance(value, dict) else code(json.dumps(value))


def _type(schema: dict[str, Any]) -> str:
    """Describe the values that a schema allows, except null, which represents the default."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(map(_one_type, options)))


def _one_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "object"
    if "const" in schema:
        return code(repr(schema["const"]))
    if schema["type"] == "array":
        most = f"up to {schema['maxItems']} " if "maxItems" in schema else ""
        kinds = (item["type"].replace("array", "list") for item in schema["items"].get("anyOf", [schema["items"]]))
        return f"list of {most}{' or '.join(f'{kind}s' for kind in kinds)}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if high == SEED - 1:
        return "integer of 64 bits"
    if low is not None and low == high:
        return code(low)
    limits = f" {low:,} to {high:,}" if high is not None else f" ≥ {low}" if low is not None else ""
    return f"{schema['type']}{limits}"


def error_statuses() -> str:
    """Return the statuses of errors."""
    return table(["status", "meaning"], ([str(status), text] for status, text in ERRORS.items()))


def _document() -> dict[str, Any]:
    """Return the OpenAPI document of a server of a small model of lines with a prior, which has every argument."""
    ngrams = count_ngrams(np.array([0, 1], np.uint8), NgramSpec(2, 1))
    parameters = initial_parameters(
        Architecture(2, 1, reset_at=0), 0.1, np.random.RandomState(0), np.float32, ngrams=ngrams
    )
    state = parameters.architecture.zero_state(np.float32)
    model = Model(Alphabet("ab"), parameters, state, get_engine("numpy"))
    return describe_app({"novel": model}, Settings())


def lab() -> str:
    """Return the handout of the assignment."""
    return (KIT / "handout.md").read_text("utf-8").strip().replace("](unrolled.svg)", "](../images/unrolled.svg)")


def teacher() -> str:
    """Return the teacher's page of the course kit."""
    return (KIT / "teacher.md").read_text("utf-8").partition("\n\n")[2]


def experiments() -> str:
    """Return the notebook of the experiments for lectures: for each experiment a cell, and a cell that draws it."""
    source = (DOCS.parent / "examples" / "experiments.py").read_text("utf-8")
    first, *parts = re.split(r"^# %% (.*)\n", source.partition("\n\nEXPERIMENTS = ")[0], flags=re.MULTILINE)
    cells = [
        ("markdown", "# Experiments for lectures\n\nEach takes about a minute of CPU time. It needs `elman[plot]`.")
    ]
    cells.append(
        ("code", first.partition('"""\n\n')[2].replace("import sys\n", "").replace("from pathlib import Path\n", ""))
    )
    for title, function in zip(parts[::2], parts[1::2], strict=True):
        name = re.findall(r"^def (\w+)\(axes", function, re.MULTILINE)[0]
        draw = f"figure, axes = plt.subplots()\nprint({name}(axes))\nname_lines(axes)"
        cells += [("markdown", f"## {title}"), ("code", f"{function.strip()}\n\n\n{draw}")]
    return write_notebook(cells)


def settings_stub() -> str:
    """Return the stub with which type checkers and editors know the settings that `elman.train` accepts as options."""
    hints = {each.name: each.type for each in fields(Config)}
    hints["validation"] = "float | str | os.PathLike[str]"  # it is converted to a string
    lines = [f"    {name}: {hint}".replace("'", '"') for name, hint in hints.items()]
    return "\n".join(
        [
            "# Generated from elman.Config by scripts/generate_reference.py.",
            "import os",
            "from typing import Literal, TypedDict",
            "",
            "class Settings(TypedDict, total=False):",
            *lines,
            "",
        ]
    )


GENERATORS: tuple[Callable[[], str], ...] = (
    commands,
    completion_arguments,
    endpoints,
    error_statuses,
    lab,
    loggers,
    metrics_columns,
    prometheus_metrics,
    settings,
    teacher,
)
PARTS = {generator.__name__: generator for generator in GENERATORS}


def regenerate(page: str) -> str:
    """Return a page with its generated parts as they should be."""
    return PART.sub(lambda part: f"{part[1]}\n{mark_options(PARTS[part[2]]())}\n{part[3]}", page)


if __name__ == "__main__":
    outdated = []
    for path in sorted(DOCS.glob("*/*.md")):
        text = path.read_text(encoding="utf-8")
        if (page := regenerate(text)) != text:
            outdated.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(page, encoding="utf-8")
    stub = DOCS.parent / "src" / "elman" / "settings.pyi"
    for path, generate in ((KIT / "experiments.ipynb", experiments), (stub, settings_stub)):
        content = generate()
        if not path.exists() or path.read_text("utf-8") != content:
            outdated.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(content, "utf-8")
    if outdated and "--check" in sys.argv:
        sys.exit(f"docs: {', '.join(outdated)} out of date: run python scripts/generate_reference.py")
