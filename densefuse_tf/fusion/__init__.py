"""A trained autoencoder and a strategy become a fused image."""
