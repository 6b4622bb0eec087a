"""Scorers: what is a response worth by itself."""
