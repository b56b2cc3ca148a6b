"""Teaching a network without labels: masked autoencoding and contrast."""
