"""What a version of the training set is made of: rows, the split of their components, the files."""
