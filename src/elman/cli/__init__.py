"""The command line: the only place that prints, prompts or exits."""

from elman.cli.app import main as main
