"""The gallery of docs/gallery.md: scenes of each fusion problem, and its page."""
