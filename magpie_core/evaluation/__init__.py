"""Evaluation of segmentations: metrics with an explicit rule for empty masks."""
