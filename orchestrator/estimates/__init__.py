"""What a run will take, worked out before it begins: memory, time, judgments, money and disk, each with its range."""
