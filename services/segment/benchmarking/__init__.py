"""MLPerf's scenarios and the profile of a model, in worker processes."""
