"""Label loops on Dagster: pick the images worth labelling, price the round, label it on Avala, land the labels."""

__version__ = "0.1.0"
