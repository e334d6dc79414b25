"""HTML report of a run of mask generation over a folder of images: a single file."""

from samjax.report.page import render_report
from samjax.report.summary import ImageSummary

__all__ = ["ImageSummary", "render_report"]
