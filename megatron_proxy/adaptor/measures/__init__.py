"""The figures of each view: sums beside the loss, bytes seen, and what the log shows of them."""
