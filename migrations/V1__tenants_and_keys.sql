-- Everything lives in the schema `plumbline`, so that a host application may share the database.
-- The migration runner creates the schema and sets the search path before it runs this file.

-- A customer of the product that runs Plumbline.
CREATE TABLE tenants (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                  text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    -- Where a thin event's resource lives, when its data does not say.
    resource_url_template text CHECK (length(resource_url_template) <= 2048),
    -- Grows with every change of the tenant's endpoints: an accepted event carries it, so that a dispatcher knows
    -- whether its cached endpoints are new enough for that event.
    endpoints_version     bigint NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    -- What its owner may see again: the prefix and the last four characters.
    hint          text NOT NULL CHECK (length(hint) <= 40),
    -- SHA-256 of the key: it has 256 random bits, so that a slow hash would protect nothing more.
    hash          bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    -- Empty: from anywhere.
    allowed_ips   inet[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, id);

CREATE TABLE users (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    email         text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND email = lower(email)),
    role          text NOT NULL CHECK (role IN ('company_admin', 'member')),
    -- argon2id, in PHC form.
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (email)
);
CREATE INDEX users_of_tenant ON users (tenant_id, id);

-- The response of a mutation, kept for a day so that a repetition gets it again.
CREATE TABLE idempotency_keys (
    tenant_id    bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    -- Publications and other changes do not meet: a change may hold its key for as long as a customer's DNS takes,
    -- and the group commit of publications, which all tenants share, must not wait for that.
    scope        text NOT NULL CHECK (scope IN ('change', 'publish')),
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 over method, path and body.
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    -- Null only inside the transaction that is still computing it: nobody else ever sees that.
    status       smallint CHECK (status BETWEEN 200 AND 299),
    body         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, scope, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
