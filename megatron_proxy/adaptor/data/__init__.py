"""The data that Megatron asks for: prepared prefixes, blends and splits as its datasets."""
