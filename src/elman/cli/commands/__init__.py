"""The commands, one module per command, and their exit codes other than 0."""

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
