"""Enabled and disabled widgets."""


def enable(widget, reason, help_):
    """Disable a widget and give `reason` as its tooltip; without a reason, enable it and show `help_`."""
    widget.enabled = not reason
    widget.toolTip = reason or help_
