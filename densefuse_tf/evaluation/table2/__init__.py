"""Table II: the paper's rows beside those of this run."""
