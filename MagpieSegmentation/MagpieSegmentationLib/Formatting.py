"""Numbers as text."""


def percentText(fraction):
    """Return a fraction (0 to 1) in percent without the sign; "<1" for what would round to 0 although it is more."""
    return "<1" if 0 < fraction < 0.01 else f"{100 * fraction:.0f}"


def millimetersText(length):
    """Return a length in whole millimeters, from tenths as in a report: table and lines must not differ by one."""
    return f"{round(length, 1):.0f}"
