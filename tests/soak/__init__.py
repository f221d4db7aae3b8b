"""Very many runs of each engine: what they leave behind, in memory, processes, descriptors and files."""
