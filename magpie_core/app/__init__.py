"""The use cases, one function each, for the command line, the worker of the panels, and Python."""
