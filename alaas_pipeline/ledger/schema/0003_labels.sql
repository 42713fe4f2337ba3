-- The share of a project's finished work that was accepted, as the platform last told it; empty when it does not tell.
ALTER TABLE rounds ADD COLUMN acceptance_rate DOUBLE;

-- How a photo is turned when it is shown (EXIF, 1 to 8), so that boxes drawn on the stored pixels can be turned along.
ALTER TABLE images ADD COLUMN orientation INTEGER;
