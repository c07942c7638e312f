"""The network, its fusion strategies and its checkpoints."""
