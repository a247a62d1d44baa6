"""deploy.yaml as a typed, frozen model; every problem at once, each with its place.

Importing this package pulls in pydantic: nothing that pytest imports at start-up may import it.
"""
