"""Volumes as they are read."""

from __future__ import annotations


def format_ml(volume_ml: float) -> str:
    """Millilitres with as many digits as make sense: 'none', '0.42 ml', '21.3 ml', '132 ml'."""
    if volume_ml <= 0:
        return "none"
    if volume_ml < 0.01:
        return "under 0.01 ml"
    digits = 2 if volume_ml < 1 else 1 if volume_ml < 100 else 0
    return f"{volume_ml:.{digits}f} ml"
