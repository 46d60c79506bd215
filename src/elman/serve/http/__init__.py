"""HTTP: server, access control, errors, request bodies, streaming, static files."""
