"""``make bench-judge``: wrong verdicts of both our judges and of each peer's rule, on generated canaries."""
