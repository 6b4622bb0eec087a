"""Warm vLLM engines, judges and scorers as actors, and what is asked of many of them at once."""
