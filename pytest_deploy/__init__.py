"""A deploy is a Gherkin feature that pytest runs."""

__all__: list[str] = []
