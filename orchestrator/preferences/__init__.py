"""Text to tensors: preference data, read and tokenised."""
