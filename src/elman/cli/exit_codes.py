"""The exit codes of commands, besides 0."""

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
