"""Write docs/cli.md from the commands themselves. With --check, only say whether it is up to date."""

import sys
from pathlib import Path

from elman.cli.app import app

PAGE = Path(__file__).parent / "cli.md"

PREFACE = """<!-- Made by docs/generate_cli.py from the commands; change those and run it again. -->

"""

CONTRACT = """
## What every command keeps to

- `CORPUS` is a file, `-` for standard input, or a built-in text: `python-docs` (the standard library's own
  documentation topics, no network needed) or `shakespeare` (downloaded once, its SHA-256 checked, kept in the
  user's cache; `ELMAN_CACHE` names another place).
- Exit codes: 0 done, 1 a gradient check failed, 2 bad input (one line `error: …` on standard error, nothing lost),
  130 interrupted (a run in training is saved first).
- `--json` prints one JSON object on standard output and nothing else there.

| command | keys |
|---|---|
| `train` | `updates epochs seconds chars_per_second smooth_loss minimum_smooth_loss minimum_at validation_loss` |
| `gradcheck` | `experiments` (`points hidden_size seq_length relative_error`: `V U W b c h0`), `passed` |
| `eval` | `chars nats_per_char bits_per_char perplexity` |
| `report` | what `results.json` holds |

`seconds` are those spent in updates; compilation, samples and files come on top. `smooth_loss` is in nats a window of
T characters, `validation_loss` in nats a character.

## A run directory

| file | holds |
|---|---|
| `run.json` | settings, alphabet, text (name, length, SHA-256), versions, machine |
| `metrics.csv` | `update, epoch, smooth_loss, loss, validation_loss, seconds, chars_per_second` |
| `samples.jsonl` | `update, smooth_loss, text` |
| `checkpoint.safetensors` | everything the run is; `--resume` goes on from it to the bit |
| `smooth_loss.png` | the curve |

`update` counts the updates done: a row of `metrics.csv` at n holds the loss of the n-th update, and a sample at 0
stands before the first.
"""


def page() -> str:
    """Return the whole page."""
    return PREFACE + app.generate_docs().rstrip() + "\n" + CONTRACT


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/cli.md does not say what the commands do: run python docs/generate_cli.py")
