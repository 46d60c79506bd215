"""Write docs/cli.md from the commands themselves. With --check, only say whether it is up to date."""

import sys
from pathlib import Path

from elman.cli import app
from elman.config import flag
from elman.presets import PRESETS, Preset

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
- `--json` prints one JSON object on standard output and nothing else there; `score` one for each line.

| command | keys |
|---|---|
| `train` | `updates epochs seconds chars_per_second smooth_loss minimum_smooth_loss minimum_at validation_loss \
kept_update stopped advice` |
| `gradcheck` | `experiments` (`points hidden_size seq_length relative_error`: `V U W b c h0`), `passed` |
| `eval` | `chars nats_per_char bits_per_char perplexity`; with `--adapt` also `nats_per_char_without_adapt` |
| `score` | `line chars nats_per_char bits_per_char worst_column worst_char worst_nats text` of each line |
| `compress` | `bytes compressed_bytes chars bits_per_char ratio` |
| `explain` | `chars nats_per_char bits_per_char units units_in_page bytes`, `things` \
(`name measure best`: `layer number part rises score chance`) |
| `report` | what `results.json` holds |

`eval` and `explain` add `unknown_chars` where a text has characters that the network does not know.

`seconds` are those spent in updates; compilation, samples and files come on top. `smooth_loss` is in nats a window of
T characters, the mean over the streams, `validation_loss` in nats a character. `validation_loss` is that of the
network that is kept, the best, and `kept_update` the update that made it. `stopped` is `epochs`, `max_updates`,
`max_seconds`, `patience` or `interrupted`; `advice` says in words whether to train longer, use a larger network, or
stop. Other cells than `rnn` have other arrays in `relative_error`: `U W b` of every layer (and `d`, for `gru`), those
of the second called `U2 W2 b2`, and so on; then `V c h0`.

## How long a run takes

`--epochs`, `--max-updates` and `--max-seconds` limit a run, and the nearest counts; one that is given takes the place
of the preset's. `--max-seconds` counts the seconds spent in updates, and what comes on top (compilation, scores of
the text kept aside, samples, files) does not shorten it. A cosine has come down, and a step made its steps, as
that time is up: from the speed so far the run reckons again and again which update will be its last.

## What is kept aside

`--validation 0.1` keeps the last tenth of the text aside. It is scored whole, its state carried through, after every
epoch or every `--validate-every` updates, and when the run ends. The best network is kept in `best.safetensors`, which
`sample` and `eval` then use. `--patience 5` stops a run after five scores without a better one.

## A run directory

| file | holds |
|---|---|
| `run.json` | settings, alphabet, text (name, length, SHA-256), versions, machine |
| `metrics.csv` | `update, epoch, smooth_loss, loss, validation_loss, seconds, chars_per_second` |
| `samples.jsonl` | `update, smooth_loss, text` |
| `checkpoint.safetensors` | everything the run is; `--resume` goes on from it to the bit |
| `best.safetensors` | the network that predicted the text kept aside best, where there is one |
| `smooth_loss.png` | the curve |

`update` counts the updates done: a row of `metrics.csv` at n holds the loss of the n-th update, and a sample at 0
stands before the first.
"""


def presets() -> str:
    """Return the table of what there is to begin from."""
    rows = [f"| `{name}` | {preset.says} | {_settings(preset)} |" for name, preset in PRESETS.items()]
    head = ["## Presets", "", "| preset | what to expect, on two cores | settings |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _settings(preset: Preset) -> str:
    given = " ".join(f"{flag(name)} {value}" for name, value in preset.settings.items())
    return f"`{given}`" if given else "the defaults"


def page() -> str:
    """Return the whole page."""
    return PREFACE + app.generate_docs().rstrip() + "\n\n" + presets() + CONTRACT


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/cli.md does not say what the commands do: run python docs/generate_cli.py")
