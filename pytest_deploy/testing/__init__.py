"""Shipped for others: the contracts that any adapter or fake of the ports must pass."""
