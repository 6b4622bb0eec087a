"""`daa submit`, `daa stop` and `daa status JOB`: a job of ours on a running cluster, seen from outside it."""
