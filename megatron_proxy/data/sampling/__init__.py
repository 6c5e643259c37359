"""From (seed, draw number, progress) to the ids of each sample, in numpy."""
