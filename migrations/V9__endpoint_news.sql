-- What the owner of a failing endpoint, and its operator, want to know beside the count.
ALTER TABLE endpoints
    -- When the first of the consecutive failures was recorded; null without any.
    ADD COLUMN failing_since timestamptz,
    -- When it was disabled; null while it is active, and for what was disabled before this was noted.
    ADD COLUMN disabled_at   timestamptz;
