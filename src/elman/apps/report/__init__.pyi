from elman.apps.report.pipeline import report as report
