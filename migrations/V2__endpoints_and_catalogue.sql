-- The event catalogue: the products' types (no tenant) and each tenant's own.
CREATE TABLE event_types (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   bigint REFERENCES tenants ON DELETE CASCADE,
    -- The product that a built-in type belongs to; null for a tenant's own.
    profile     text CHECK (profile IN ('buildworkpro')),
    name        text NOT NULL CHECK (length(name) <= 128 AND name ~ '^[a-z0-9_]+(\.[a-z0-9_]+)+$'),
    description text CHECK (length(description) <= 1000),
    -- JSON Schema of `data`, and an example of it: text, because jsonb refuses valid JSON (\u0000) and rewrites numbers.
    schema      text,
    example     text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((tenant_id IS NULL) = (profile IS NOT NULL))
);
CREATE UNIQUE INDEX event_types_of_tenant ON event_types (tenant_id, name) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX event_types_built_in ON event_types (name) WHERE tenant_id IS NULL;

INSERT INTO event_types (profile, name, description, example) VALUES
    ('buildworkpro', 'bid.created', 'A new bid was inserted. `data` is the full bid record.',
     '{"id": 11, "bidNumber": "BID-001", "status": "draft"}'),
    ('buildworkpro', 'bid.accepted', 'A bid was accepted.', '{"id": 22, "status": "accepted"}'),
    ('buildworkpro', 'bid.rejected', 'A bid was rejected; this is final.', '{"id": 99, "status": "rejected"}'),
    ('buildworkpro', 'project.created', 'A project was inserted. `data` is the new project.',
     '{"id": 33, "name": "Acme HQ Renovation", "status": "active"}'),
    ('buildworkpro', 'project.status_changed',
     'A project''s status actually changed; the prior value is in `previous_attributes`.',
     '{"id": 44, "name": "Acme HQ Renovation", "status": "completed"}'),
    ('buildworkpro', 'pay_app.submitted', 'A pay application left draft and awaits approval.',
     '{"id": 55, "status": "submitted"}'),
    ('buildworkpro', 'pay_app.approved', 'A pay application was approved.', '{"id": 66, "status": "approved"}'),
    ('buildworkpro', 'change_order.submitted', 'A change order with at least one line item left draft.',
     '{"id": 77, "status": "submitted"}'),
    ('buildworkpro', 'change_order.approved',
     'A change order was approved and its items were applied to the project''s bid and contract value.',
     '{"id": 88, "status": "approved"}'),
    ('buildworkpro', 'contact.created', 'A contact was inserted. `data` is the full contact.',
     '{"id": 5, "firstName": "Jane", "lastName": "Doe", "type": "customer"}');

CREATE TABLE endpoints (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid                  uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    tenant_id            bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    profile              text NOT NULL CHECK (profile IN ('buildworkpro')),
    url                  text NOT NULL CHECK (length(url) <= 2048),
    description          text CHECK (length(description) <= 1000),
    -- Canonical names; null is everything that the tenant emits, now and later.
    event_types          text[] CHECK (cardinality(event_types) > 0),
    -- Requests per minute over all dispatchers; null is unlimited.
    rate_limit           integer CHECK (rate_limit > 0),
    -- Extra request headers: [["Name", "value"], …], in the customer's order.
    headers              jsonb NOT NULL DEFAULT '[]',
    -- Null while it is active.
    disabled_reason      text CHECK (disabled_reason IN ('manual', 'consecutive_failures', 'gone')),
    consecutive_failures integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    version              bigint NOT NULL DEFAULT 1,
    -- The tenant's endpoints_version that its creation made: events accepted earlier are not for it.
    since_version        bigint NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    -- Kept for the deliveries that name it.
    deleted_at           timestamptz
) WITH (fillfactor = 80);
CREATE INDEX endpoints_of_tenant ON endpoints (tenant_id, id) WHERE deleted_at IS NULL;

CREATE TABLE endpoint_secrets (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    endpoint_id   bigint NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    -- XChaCha20-Poly1305: nonce and ciphertext; which master key, by its id.
    master_key_id text NOT NULL,
    ciphertext    bytea NOT NULL,
    -- How the text becomes an HMAC key.
    derivation    text NOT NULL CHECK (derivation IN ('literal', 'base64')),
    -- From when it signs (in the future: prepared), and until when it still does beside its successor.
    activates_at  timestamptz NOT NULL,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (expires_at >= activates_at)
);
CREATE INDEX endpoint_secrets_of_endpoint ON endpoint_secrets (tenant_id, endpoint_id);
