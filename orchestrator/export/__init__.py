"""Models that leave a run: which one, its card, and the proof that others can load it."""
