"""The contract of the corpus service, by version, and `stream`, which follows it for a program."""
