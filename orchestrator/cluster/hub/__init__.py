"""The search's centre: checkpoints come in from the workers, are scored on more and more prompts, and what was seen goes to the ledger."""
