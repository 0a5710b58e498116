"""Jobs: a config and a folder each, done by one function, here or in a process of its own."""
