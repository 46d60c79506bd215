"""The report: the reference experiment on a person's own text, laid out to be read."""

from elman.report.produce import ReportWatcher as ReportWatcher
from elman.report.produce import report as report
