"""Exports models for serving."""
