"""Ray Train: warm worker groups that take one trial after another, and the data that they train on."""
