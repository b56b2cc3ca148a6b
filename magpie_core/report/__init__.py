"""Reports of a result: volumes, diameters, JSON, figures."""
