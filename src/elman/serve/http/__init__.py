"""HTTP server: sockets, shutdown, access control, errors, request bodies, streaming, static files."""
