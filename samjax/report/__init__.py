"""The page to look at after masks were made of a folder of images: one HTML file."""

from samjax.report.page import render_report
from samjax.report.summary import ImageSummary

__all__ = ["ImageSummary", "render_report"]
