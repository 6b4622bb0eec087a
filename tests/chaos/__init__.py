"""Faults in a running search. `make chaos` runs fifty of them, the tests a few."""
