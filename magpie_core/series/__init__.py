"""What a series of images shows: its modality, by all that its headers, names and neighbors state."""
