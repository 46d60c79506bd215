"""Files: atomic replacement, tensors with a digest, validation of untrusted content."""
