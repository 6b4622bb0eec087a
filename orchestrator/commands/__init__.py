"""The commands of `daa`, a file for each kind of work. Heavy imports wait until the work starts."""
