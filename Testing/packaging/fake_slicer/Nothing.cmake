# Slicer writes the extension's configuration and its package here.
