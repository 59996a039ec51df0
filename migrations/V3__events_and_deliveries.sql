-- The hot tables. They are range-partitioned by day on their UUIDv7 ids, whose first 48 bits are the milliseconds
-- since 1970: a lookup by id touches one partition, and a day is dropped as a whole. They have no foreign keys:
-- checking one would cost a row lock per insert.

-- An accepted event. The payload is the customer's JSON text, byte for byte.
CREATE TABLE events (
    tenant_id           bigint NOT NULL,
    id                  uuid NOT NULL,
    type                text NOT NULL,
    data                text NOT NULL,
    previous_attributes text,
    occurred_at         timestamptz NOT NULL,
    endpoints_version   bigint NOT NULL,
    -- Serves the lookup of one event and, read backwards, the tenant's newest ones.
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);

-- What has been accepted and not yet completely recorded as deliveries: one row for a message that some dispatcher
-- must still complete. An event that matches many endpoints is replaced by one row for each chunk of them.
CREATE TABLE outbox (
    event_id       uuid NOT NULL,
    -- 0 is the whole event.
    chunk          integer NOT NULL DEFAULT 0 CHECK (chunk >= 0),
    tenant_id      bigint NOT NULL,
    lane           text NOT NULL CHECK (lane IN ('fast', 'bulk')),
    -- A chunk is the endpoints with `after_endpoint < id <= upto_endpoint`.
    after_endpoint bigint,
    upto_endpoint  bigint,
    -- 'sent' is written before the publication, because it nearly always succeeds; who sees it fail says 'unsent'.
    state          text NOT NULL CHECK (state IN ('sent', 'unsent')),
    -- When it was published last.
    sent_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, chunk),
    CHECK ((chunk = 0) = (after_endpoint IS NULL) AND (chunk = 0) = (upto_endpoint IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX outbox_unsent ON outbox (event_id, chunk) WHERE state = 'unsent';

-- One event to one endpoint.
CREATE TABLE deliveries (
    tenant_id       bigint NOT NULL,
    id              uuid NOT NULL,
    event_id        uuid NOT NULL,
    event_type      text NOT NULL,
    endpoint_id     bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('event', 'replay', 'test')),
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'exhausted', 'skipped')),
    attempt_count   smallint NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    next_attempt_at timestamptz,
    response_status smallint,
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    replay_of       uuid,
    PRIMARY KEY (tenant_id, id),
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)),
    CHECK ((status = 'pending') = (completed_at IS NULL)),
    CHECK (status <> 'skipped' OR attempt_count = 0),
    CHECK (status NOT IN ('succeeded', 'exhausted') OR attempt_count > 0),
    CHECK ((kind = 'replay') = (replay_of IS NOT NULL))
) PARTITION BY RANGE (id);
-- The delivery log of an endpoint, newest first.
CREATE INDEX deliveries_of_endpoint ON deliveries (tenant_id, endpoint_id, id);
-- The rest are partial: a delivery that succeeds at once is in none of them.
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX deliveries_waiting ON deliveries (tenant_id, endpoint_id, id) WHERE status = 'pending';
CREATE INDEX deliveries_to_recover ON deliveries (tenant_id, endpoint_id, id)
    WHERE status IN ('failed', 'exhausted', 'skipped');
CREATE INDEX deliveries_replays ON deliveries (tenant_id, endpoint_id, event_id) WHERE replay_of IS NOT NULL;
-- Which old events are still needed: only a replay lies in another day's partition than its event.
CREATE INDEX deliveries_replays_waiting ON deliveries (event_id) WHERE status = 'pending' AND kind = 'replay';

-- One POST.
CREATE TABLE delivery_attempts (
    tenant_id        bigint NOT NULL,
    delivery_id      uuid NOT NULL,
    number           smallint NOT NULL CHECK (number > 0),
    started_at       timestamptz NOT NULL,
    duration_ms      integer NOT NULL CHECK (duration_ms >= 0),
    -- [["Name", "value"], …] as JSON text.
    request_headers  text NOT NULL,
    response_status  smallint,
    response_headers text,
    response_body    bytea CHECK (length(response_body) <= 10240),
    error_code       text,
    error_message    text CHECK (length(error_message) <= 1000),
    PRIMARY KEY (tenant_id, delivery_id, number),
    CHECK ((response_status IS NULL) = (error_code IS NOT NULL))
) PARTITION BY RANGE (delivery_id);

-- The smallest UUID of a moment: the bound between partitions and the cursor of a time filter.
CREATE FUNCTION uuid_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (lpad(to_hex(greatest(floor(extract(epoch FROM moment) * 1000), 0)::bigint), 12, '0')
            || '00000000000000000000')::uuid
$$;

-- A fresh UUIDv7.
CREATE FUNCTION uuid_v7(moment timestamptz DEFAULT clock_timestamp()) RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT encode(
        set_byte(overlay(uuid_send(gen_random_uuid())
                         PLACING substring(uuid_send(uuid_floor(moment)) FROM 1 FOR 6) FROM 1 FOR 6),
                 6, (get_byte(uuid_send(gen_random_uuid()), 6) & 15) | 112),
        'hex')::uuid
$$;

-- Make the partitions of every day of a range, where they are missing. A table is made first and attached then,
-- because ATTACH does not block readers and writers of the parent.
CREATE FUNCTION ensure_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql
AS $$
DECLARE
    parent text;
    part   text;
    day    date;
    made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7014412, 1);
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'delivery_attempts'] LOOP
        FOR day IN SELECT generate_series(first_day, last_day, '1 day')::date LOOP
            part := parent || '_p' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                           uuid_floor(day::timestamp AT TIME ZONE 'UTC'),
                           uuid_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- The days that have a partition.
CREATE FUNCTION partition_days() RETURNS SETOF date
    LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT to_date(right(part.relname, 8), 'YYYYMMDD')
    FROM pg_inherits AS inheritance
    JOIN pg_class AS part ON part.oid = inheritance.inhrelid
    WHERE inheritance.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'delivery_attempts'::regclass)
$$;

-- Drop a day's partitions, but for what a pending delivery or an event that is not fanned out still needs. Returns
-- the names of what was dropped.
--
-- It looks before it locks, so that a day that must stay costs nobody anything, and again when it has locked, when
-- nothing can be added any more. It waits only a moment for the locks, because everybody else waits behind it.
CREATE FUNCTION drop_partitions(day date) RETURNS text[]
    LANGUAGE plpgsql
    SET lock_timeout = '300ms'
AS $$
DECLARE
    suffix     CONSTANT text := '_p' || to_char(day, 'YYYYMMDD');
    first_id   CONSTANT uuid := uuid_floor(day::timestamp AT TIME ZONE 'UTC');
    next_id    CONSTANT uuid := uuid_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
    dropped    text[] := '{}';
    parent     text;
    deliveries_needed boolean;
    events_needed     boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7014412, 1);
    FOR look IN 1..2 LOOP
        deliveries_needed := EXISTS (
            SELECT FROM deliveries WHERE id >= first_id AND id < next_id AND status = 'pending');
        events_needed := deliveries_needed
            OR EXISTS (SELECT FROM outbox WHERE event_id >= first_id AND event_id < next_id)
            OR EXISTS (SELECT FROM deliveries
                       WHERE event_id >= first_id AND event_id < next_id AND status = 'pending' AND kind = 'replay');
        IF deliveries_needed THEN
            RETURN dropped;
        END IF;
        IF look = 1 THEN
            LOCK TABLE ONLY events, ONLY deliveries, ONLY delivery_attempts IN ACCESS EXCLUSIVE MODE;
        END IF;
    END LOOP;
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'delivery_attempts'] LOOP
        CONTINUE WHEN to_regclass(parent || suffix) IS NULL OR (parent = 'events' AND events_needed);
        EXECUTE format('DROP TABLE %I', parent || suffix);
        dropped := dropped || (parent || suffix);
    END LOOP;
    RETURN dropped;
END
$$;

SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 8);
