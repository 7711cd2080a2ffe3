"""The comparison as one page that needs no network."""

from lightning_lrsched.compare.report.page import report_page

__all__ = ["report_page"]
