"""Makes the PassThrough model; there is nothing to train."""
