"""Applications: each is a folder that can be deleted, and uses the core through the names of its packages."""
