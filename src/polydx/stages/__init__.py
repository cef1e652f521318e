"""One module a stage; stages meet only in files."""
