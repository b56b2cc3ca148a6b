"""Enabled and disabled widgets, texts that are shown whole."""


def enable(widget, reason, help_):
    """Disable a widget and give `reason` as its tooltip; without a reason, enable it and show `help_`."""
    widget.enabled = not reason
    widget.toolTip = reason or help_


def showText(label, text):
    """Show a text that wraps, in a label high enough for all its lines."""
    label.text = text
    label.minimumHeight = max(0, label.heightForWidth(label.width)) if text else 0
