"""The command line: the only place that prints, prompts or exits. Each module adds its commands to the app."""

from elman.cli.app import app as app
from elman.cli.app import main as main
from elman.cli.commands import compress as compress
from elman.cli.commands import explain as explain
from elman.cli.commands import export as export
from elman.cli.commands import sample as sample
from elman.cli.commands import score as score
from elman.cli.commands import serve as serve
from elman.cli.commands import train as train
from elman.cli.commands import view as view
