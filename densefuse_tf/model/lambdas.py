"""The lambdas that the paper compares, by the short names of their checkpoints."""

# lambda of L = lambda * L_ssim + L_p (Eq. 1).
SSIM_WEIGHTS = {"1e0": 1.0, "1e1": 10.0, "1e2": 100.0, "1e3": 1000.0}
