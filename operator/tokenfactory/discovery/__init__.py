"""What runs: Kubernetes objects become frozen values here, and nowhere else."""
