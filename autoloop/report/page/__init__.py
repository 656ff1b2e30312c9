"""The report of a run: one page that needs neither network nor program."""

from autoloop.report.page.refresh import page_refresher
from autoloop.report.page.writing import report_html, write_report

__all__ = ["page_refresher", "report_html", "write_report"]
