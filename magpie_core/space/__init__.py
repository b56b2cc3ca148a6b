"""Into the network's space and back: world-aligned grid, brain, intensities."""
