-- The share of a project's finished work that was accepted, as the platform last told it; empty when it does not tell.
ALTER TABLE rounds ADD COLUMN acceptance_rate DOUBLE;
