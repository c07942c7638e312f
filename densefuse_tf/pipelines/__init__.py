"""Fuses folders, sequences and archives."""
