-- The catalogue gets JSON Schemas and deprecation, and a host application that shares the database can emit events
-- inside its own transactions.

-- A deprecated type is still published and delivered; no new subscription may name it.
ALTER TABLE event_types ADD COLUMN deprecated_at timestamptz;

-- The schemas are tolerant on purpose: no property is required and any other is allowed, because a producer's data
-- that was accepted yesterday stays acceptable. A type of two products has one schema that fits both.
UPDATE event_types AS built_in
SET schema = described.schema
FROM (VALUES
    ('bid',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "bidNumber": {"type": ["string", "null"]}, "title": {"type": ["string", "null"]}, "projectId": {"type": ["integer", "string", "null"]}, "status": {"enum": ["draft", "sent", "viewed", "accepted", "rejected"]}, "items": {"type": ["array", "null"], "items": {"type": "object", "properties": {"description": {"type": ["string", "null"]}, "quantity": {"type": ["number", "string", "null"]}, "unitPrice": {"type": ["number", "string", "null"]}}}}}}'),
    ('project',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "url": {"type": ["string", "null"]}, "name": {"type": ["string", "null"]}, "projectNumber": {"type": ["string", "null"]}, "contactId": {"type": ["integer", "string", "null"]}, "contractValue": {"type": ["number", "string", "null"]}, "status": {"type": ["string", "null"]}}}'),
    ('pay_app',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "projectId": {"type": ["integer", "string", "null"]}, "amount": {"type": ["number", "string", "null"]}, "periodEnd": {"type": ["string", "null"]}, "status": {"type": ["string", "null"]}}}'),
    ('change_order',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "projectId": {"type": ["integer", "string", "null"]}, "title": {"type": ["string", "null"]}, "status": {"type": ["string", "null"]}, "items": {"type": ["array", "null"], "items": {"type": "object"}}}}'),
    ('contact',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "url": {"type": ["string", "null"]}, "firstName": {"type": ["string", "null"]}, "lastName": {"type": ["string", "null"]}, "companyName": {"type": ["string", "null"]}, "email": {"type": ["string", "null"]}, "phone": {"type": ["string", "null"]}, "type": {"type": ["string", "null"]}, "createdAt": {"type": ["string", "null"]}, "updatedAt": {"type": ["string", "null"]}}}'),
    ('opportunity',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "url": {"type": ["string", "null"]}, "name": {"type": ["string", "null"]}, "stage": {"type": ["string", "null"]}, "value": {"type": ["number", "string", "null"]}}}'),
    ('company',
     '{"type": "object", "properties": {"id": {"type": ["integer", "string"]}, "url": {"type": ["string", "null"]}, "name": {"type": ["string", "null"]}}}'),
    ('account',
     '{"type": "object", "properties": {"account_id": {"type": ["string", "integer"]}, "status": {"type": ["string", "null"]}}}'),
    ('funding',
     '{"type": "object", "properties": {"account_id": {"type": ["string", "integer"]}, "relationship_id": {"type": ["string", "integer", "null"]}, "transfer_id": {"type": ["string", "integer", "null"]}, "amount": {"type": ["string", "number", "null"]}, "status": {"type": ["string", "null"]}}}'),
    ('order',
     '{"type": "object", "properties": {"order_id": {"type": ["string", "integer"]}, "account_id": {"type": ["string", "integer", "null"]}, "symbol": {"type": ["string", "null"]}, "qty": {"type": ["number", "string", "null"]}, "status": {"type": ["string", "null"]}}}')
) AS described (resource, schema)
WHERE built_in.tenant_id IS NULL AND split_part(built_in.name, '.', 1) = described.resource;

-- Emit an event inside the caller's transaction: it is accepted when that transaction commits, and never happened
-- when it rolls back. Returns the event's id. See docs/API.md, "Emit from SQL".
--
-- It does what the intake does. The tenant's endpoints_version is read without a lock, so that host transactions do
-- not wait for each other nor for a change of an endpoint; the version is that of the moment of the call, so that an
-- endpoint made later gets nothing that was emitted before, however late the caller commits.
--
-- SECURITY DEFINER: its caller needs USAGE on the schema and EXECUTE on this function, and nothing else. The search
-- path is fixed, so that the caller's own objects are never taken for ours.
CREATE FUNCTION emit(
    tenant_id           bigint,
    type                text,
    data                jsonb,
    previous_attributes jsonb DEFAULT NULL
) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = plumbline, pg_temp
AS $$
DECLARE
    setting   CONSTANT text := coalesce(nullif(current_setting('plumbline.max_payload_bytes', true), ''), '262144');
    -- The deepest nesting that the API accepts, too.
    levels    CONSTANT integer := 64;
    accepted  CONSTANT timestamptz := clock_timestamp();
    event_id  CONSTANT uuid := uuid_v7(accepted);
    today     CONSTANT date := (accepted AT TIME ZONE 'UTC')::date;
    too_deep  CONSTANT jsonpath := 'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")';
    data_text CONSTANT text := emit.data::text;
    previous  CONSTANT text := emit.previous_attributes::text;
    bytes     CONSTANT bigint := coalesce(octet_length(data_text), 0)::bigint + coalesce(octet_length(previous), 0);
    version   bigint;
BEGIN
    IF emit.tenant_id IS NULL OR emit.type IS NULL OR emit.data IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('plumbline.emit: %s is null',
                CASE WHEN emit.tenant_id IS NULL THEN 'tenant_id' WHEN emit.type IS NULL THEN 'type' ELSE 'data' END),
            HINT = 'Only previous_attributes may be null.';
    END IF;
    IF jsonb_typeof(emit.data) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: data is a JSON %s', jsonb_typeof(emit.data)),
            HINT = 'Pass a JSON object, such as to_jsonb(row) or jsonb_build_object(…).';
    END IF;
    IF jsonb_typeof(emit.previous_attributes) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: previous_attributes is a JSON %s',
                jsonb_typeof(emit.previous_attributes)),
            HINT = 'Pass a JSON object with the prior values, or leave it out.';
    END IF;
    IF setting !~ '^[0-9]{1,9}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: the setting plumbline.max_payload_bytes is %L', setting),
            HINT = 'Set it to a number of bytes, such as 262144, or reset it.';
    END IF;
    IF bytes > setting::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('plumbline.emit: data and previous_attributes have %s bytes together', bytes),
            HINT = format('Send at most %s bytes, such as a reference to what is large.', setting);
    END IF;
    IF jsonb_path_exists(emit.data, too_deep) OR jsonb_path_exists(emit.previous_attributes, too_deep) THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('plumbline.emit: %s is nested more than %s levels deep',
                CASE WHEN jsonb_path_exists(emit.data, too_deep) THEN 'data' ELSE 'previous_attributes' END, levels),
            HINT = 'Flatten it.';
    END IF;
    IF starts_with(emit.type, 'webhook.') OR starts_with(emit.type, 'endpoint.') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: type %L is emitted by the service itself', left(emit.type, 200)),
            HINT = 'Emit one of the catalogue''s types or of the tenant''s own.';
    END IF;

    SELECT tenant.endpoints_version INTO version FROM tenants AS tenant WHERE tenant.id = emit.tenant_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: tenant_id %s is no tenant', emit.tenant_id),
            HINT = 'Make one with `plumbline tenant create`, which prints its id.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM event_types AS known
        WHERE known.name = emit.type AND (known.tenant_id = emit.tenant_id OR known.tenant_id IS NULL))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('plumbline.emit: type %L is not in the catalogue', left(emit.type, 200)),
            HINT = 'Define it with POST /api/v1/webhook-event-types.';
    END IF;

    -- Partitions are made days ahead, so that this is for an installation whose maintenance has not run for as long:
    -- making one holds its lock until the caller's transaction ends.
    IF to_regclass('events_p' || to_char(today, 'YYYYMMDD')) IS NULL THEN
        PERFORM ensure_partitions(today, today);
    END IF;
    INSERT INTO events (tenant_id, id, type, data, previous_attributes, occurred_at, endpoints_version)
    VALUES (emit.tenant_id, event_id, emit.type, data_text, previous, accepted, version);
    INSERT INTO outbox (event_id, tenant_id, lane, state)
    VALUES (event_id, emit.tenant_id, 'fast', 'unsent');
    -- Told once, when the transaction commits, however often it emits: the texts are equal.
    PERFORM pg_notify('plumbline_outbox', '');
    RETURN 'evt_' || replace(event_id::text, '-', '');
END
$$;
REVOKE ALL ON FUNCTION emit(bigint, text, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION emit(bigint, text, jsonb, jsonb) IS
    'Emit an event of a tenant with this transaction. Returns its id, which receivers see.';
