"""Files that survive: atomic writes, locks, logs, manifests, shipped resources."""
