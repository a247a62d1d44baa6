"""A whole deploy as a Kubernetes Job: what is sent, how it is watched, and what it leaves behind."""
