"""A language model of bytes, and arithmetic coding with it."""
