"""What `assay doctor` looks at: software, machine, what is kept, running services."""
