"""Scores any checkpoint against a baseline: prompts -> responses -> verdicts -> a scorecard with its interval."""
