"""Glioma segmentation in brain MRI."""

__version__ = "0.5.0"

RESEARCH_USE = "Research use only, not for clinical decisions."
