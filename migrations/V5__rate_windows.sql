-- The slots that a rate-limited endpoint's requests have taken, and its line: see `domain::rate`. One row for an
-- endpoint, written once for each batch of reservations and never read otherwise.
CREATE TABLE rate_windows (
    tenant_id    bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    endpoint_id  bigint NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    -- The slots taken in each second, from `first_second` (since 1970) on; two minutes of them at most.
    first_second bigint NOT NULL,
    counts       integer[] NOT NULL DEFAULT '{}' CHECK (cardinality(counts) <= 256),
    -- The line of those that wait, in millionths of a turn.
    head         bigint NOT NULL DEFAULT 0,
    tail         bigint NOT NULL DEFAULT 0,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id),
    CHECK (head <= tail)
-- No column of an index ever changes: with room in the page, an update leaves nothing to vacuum.
) WITH (fillfactor = 40);
