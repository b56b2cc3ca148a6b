"""From a study to probabilities and a segmentation."""
