"""Reads and writes images, videos and tables."""
