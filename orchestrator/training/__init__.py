"""Batches and an objective to checkpoints."""
