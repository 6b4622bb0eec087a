"""Scorecards to the next trial; no Ray here."""
