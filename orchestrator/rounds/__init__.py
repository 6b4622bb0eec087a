"""Rounds of training on what the model itself writes: generate, score, pair, select, train, evaluate. What happens, apart from doing it."""
