"""Price a round's labelling: exactly its picks, times the price that the team declared."""

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, quotes, rounds, selections
from alaas_pipeline.ledger.quotes import Quote


def quote(ledger: Ledger, round_key: str) -> Quote:
    """Store and return the round's quote; asking again returns the same one.

    Raises:
        UserError: the round has no picks.
    """
    with ledger.transaction() as tx:
        current = rounds.get(tx, round_key)
        stored = quotes.find(tx, round_key)
        if stored is not None:
            return stored
        if not current.reached("selected"):
            raise UserError(
                f"Round {round_key} has no picks to price (state: {current.state}). Materialize its 'selection' first."
            )
        digests = [row["digest"] for row in selections.picks(tx, round_key)]
        made = quotes.make(tx, round_key, digests, current.settings.price_micros, current.settings.currency)
        rounds.advance(tx, round_key, "quoted")
        return made
