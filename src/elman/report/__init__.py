"""The report: the reference experiment on a person's own text, laid out to be read."""

from elman.report.pipeline import ReportWatcher as ReportWatcher
from elman.report.pipeline import report as report
