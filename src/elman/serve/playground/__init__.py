"""The playground: page and endpoints."""
