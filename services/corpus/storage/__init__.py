"""Where the files of a corpus are: local directories and object storage."""
