"""The ledger: pools, images, rounds, credits, quotes, effects and landed labels, in one DuckDB file.

It is the truth; Dagster's records are a view of it. Nothing here talks to a network or knows Dagster.
"""

from alaas_pipeline.ledger.database import Ledger, Transaction

__all__ = ["Ledger", "Transaction"]
