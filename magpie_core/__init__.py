"""Glioma segmentation in brain MRI."""

__version__ = "0.4.0"

RESEARCH_USE = "Research use only, not for clinical decisions."
