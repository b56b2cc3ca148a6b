"""The commands behind `magpie`, one a file."""
