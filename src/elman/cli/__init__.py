"""The command line: the only package that prints, prompts or exits."""

from elman.cli.app import app as app
from elman.cli.app import main as main
