"""Heavy operators in plain torch, rewritten to be fast on a CPU."""
