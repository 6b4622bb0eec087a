"""Ledger to what people read: the screen, JSON and one HTML page."""
