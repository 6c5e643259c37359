"""Writing raw bytes with a trained model, streaming and in batches (in progress)."""
