"""Judges: each says, match by match, whether the candidate's response beats the baseline's."""
