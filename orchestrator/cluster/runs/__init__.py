"""What a command does from beginning to end, on a cluster that is joined or started here: one module for each kind of run."""
