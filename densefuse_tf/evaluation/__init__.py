"""Evaluates sets of fused images, and reproduces Table II."""
