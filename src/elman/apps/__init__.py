"""Applications: each is a folder that can be deleted and uses only the public names of the core's packages."""
