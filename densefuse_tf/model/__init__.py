"""The network, its fusion strategies and its checkpoints."""

from densefuse_tf import startup

startup.require_backend()
