"""Picking without a pool: from a file of vectors, or from a folder of images. No Dagster, no account, no ledger."""
