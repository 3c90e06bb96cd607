"""The stages of a build: each is a number of tasks that any process may do, each of them once."""
