"""A pretraining dataset: unlabeled studies, prepared once and packed on disk."""
