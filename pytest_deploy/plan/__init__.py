"""The verb ``plan``: what a deploy would send, and how the manifests would differ from those that are live."""
