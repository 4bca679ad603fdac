-- When an operator asked for a failed run to be taken up again; its next attempt clears it.
ALTER TABLE runs ADD COLUMN resume_asked_at_ms INTEGER;
