"""Megatron's own model, built and written as a release, as importing does."""
