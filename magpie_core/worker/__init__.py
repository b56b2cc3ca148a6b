"""One job at a time in a process of its own: JSON lines between a panel and magpie_core."""
