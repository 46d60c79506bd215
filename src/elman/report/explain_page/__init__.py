"""The self-contained HTML page of ``elman explain``."""
