"""One set of assets for each pool: what is stored at each stage of the label loop."""
