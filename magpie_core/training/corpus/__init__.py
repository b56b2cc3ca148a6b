"""Unlabelled studies, prepared once and drawn from for pretraining."""
