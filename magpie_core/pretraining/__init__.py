"""Pretraining on unlabeled studies: masked reconstruction with a contrastive term."""
