"""Work that takes long or reads strangers' bytes: child processes, batches, jobs."""
