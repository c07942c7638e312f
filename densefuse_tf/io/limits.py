"""Limits on what is read; importing them needs no other package."""

# The largest image that is read by default, in pixels.
MAX_PIXELS = 200_000_000
