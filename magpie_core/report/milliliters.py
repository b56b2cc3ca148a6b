"""Volumes in milliliters as text."""

from __future__ import annotations


def format_interval(low_ml: float, high_ml: float) -> str:
    """Return '10.2 to 14.0 ml' or 'up to 1.2 ml'; empty if both are 0."""
    if high_ml <= 0:
        return ""
    high = format_ml(high_ml)
    low = format_ml(low_ml).removesuffix(" ml")
    return f"up to {high}" if low_ml < 0.01 else f"{low} to {high}"


def format_ml(volume_ml: float) -> str:
    """Return a volume with about three significant digits: 'none', '0.42 ml', '21.3 ml', '132 ml'."""
    if volume_ml <= 0:
        return "none"
    if volume_ml < 0.01:
        return "under 0.01 ml"
    digits = 2 if volume_ml < 1 else 1 if volume_ml < 100 else 0
    return f"{volume_ml:.{digits}f} ml"
