"""The pool service: add images, embed them, select the ones most worth labelling, say what is left.

This is active learning as a service, embedded: our engine and our ledger behind the calls of the ALaaS contract.
"""
