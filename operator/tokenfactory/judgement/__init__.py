"""What it means: optimizations, denominator, conditions and findings. Pure: memory in, memory out."""
