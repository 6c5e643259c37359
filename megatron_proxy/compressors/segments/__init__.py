"""Cutting documents into segments that are compressed on their own."""
