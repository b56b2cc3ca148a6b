"""A signal in plain Python."""


class Signal:
    """Calls its listeners in turn; Qt signals defined in Python crash under PythonQt."""

    def __init__(self):
        self._listeners = []

    def connect(self, listener):
        """Call `listener` whenever the signal is emitted."""
        self._listeners.append(listener)

    def disconnect(self, listener):
        """Remove `listener`."""
        self._listeners.remove(listener)

    def emit(self, *values):
        """Call every listener with these values."""
        for listener in list(self._listeners):
            listener(*values)
