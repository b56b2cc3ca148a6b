"""Files on disk: atomic writes, folder locks, JSON lines, audit log, configurations, manifests, resources."""
