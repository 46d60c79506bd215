from elman.apps.report.compare import compare_reports as compare_reports
from elman.apps.report.pipeline import report as report
