"""The real things behind the ports, one file each; they never import each other."""
