"""Trains the autoencoder."""
