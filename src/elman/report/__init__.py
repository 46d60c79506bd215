"""The report of the reference experiment, carried out on any text."""

from elman.report.pipeline import report as report
