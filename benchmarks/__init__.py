"""How fast the service is, beside a bare baseline that does the same row work and nothing else."""
