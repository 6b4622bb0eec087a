"""Tensors to log-probabilities: the model is run here and nowhere else."""
