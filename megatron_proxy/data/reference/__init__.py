"""Corpora that were compressed for the paper's own implementation: their codes, and how they become a dataset."""
