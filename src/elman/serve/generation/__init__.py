"""Text generation for many requests: served models, continuous batching, jobs and sequences."""
