"""The Avala annotation platform over HTTP: a reading client, raw state-changing calls, and their errors.

Synchronous on purpose: each call is made from a Dagster step or a sensor tick, which are threads already, and
a plain call stack is the easiest one to reason about where money is spent.
"""
