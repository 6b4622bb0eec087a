"""Worlds made on the spot: a small chat model with preference pairs, search prompts and held-out prompts."""
