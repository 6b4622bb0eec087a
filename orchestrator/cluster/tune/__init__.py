"""Ray Tune: samples become trials, scores become results, and what is reported goes where people watch it."""
