"""The dashboard: runs in training and runs on disk, in the browser."""
