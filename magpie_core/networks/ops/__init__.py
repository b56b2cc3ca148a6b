"""Heavy operators, each in plain torch."""
