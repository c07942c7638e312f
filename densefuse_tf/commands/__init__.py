"""The command-line programs: flags in, one library call, nothing else."""
