"""The words, options and exit codes of groups of commands."""
