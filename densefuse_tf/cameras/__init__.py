"""Two cameras in, one fused picture out, while it happens."""
