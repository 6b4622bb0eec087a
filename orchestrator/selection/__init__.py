"""Which pairs are worth training on."""
