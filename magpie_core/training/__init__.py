"""Train networks: one loop, patch sampling, sample sources, segmentation training, fine-tuning."""
