"""zstd as a proxy: matches named by what they copy, or the bytes of its frames."""
