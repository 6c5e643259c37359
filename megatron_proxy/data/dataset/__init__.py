"""Views on disk: the files of Megatron's IndexedDataset, and the manifest that binds them."""
