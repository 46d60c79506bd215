"""Inlining ES modules into one script."""

from pathlib import Path

from elman.web import inline_modules


def test_modules_become_functions_in_the_order_of_their_imports(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "base.js").write_text(
        "export const a = 1;\nconst hidden = 2;\nexport function b() {\n  return hidden;\n}\n"
    )
    (tmp_path / "pages" / "other.js").write_text('import { a } from "../base.js";\nexport class C {}\n')
    page = tmp_path / "pages" / "page.js"
    page.write_text(
        'import { a, b } from "../base.js";\nimport { C } from "./other.js";\nexport async function f() {}\n'
    )
    assert inline_modules(page) == (
        "const $base = (() => {\nconst a = 1;\nconst hidden = 2;\nfunction b() {\n  return hidden;\n}\n\n"
        "return { a, b };\n})();\n"
        "const $other = (() => {\nconst { a } = $base;\nclass C {}\n\nreturn { C };\n})();\n"
        "const $page = (() => {\nconst { a, b } = $base;\nconst { C } = $other;\nasync function f() {}\n\n"
        "return { f };\n})();"
    )
