"""A trained model as a thing on disk: the folder, its manifest, verifying and loading."""
