"""Pages that show a posterior: the report of a run in a file of its own, and a short table for notebooks."""

from inference.html.page import Report, page
from inference.html.summary import summary

__all__ = ["Report", "page", "summary"]
