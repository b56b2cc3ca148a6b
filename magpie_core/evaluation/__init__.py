"""How good a segmentation is: region metrics with an explicit rule for empty masks."""
