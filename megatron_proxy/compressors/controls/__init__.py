"""Compressors to compare with: they are not expected to transfer."""
