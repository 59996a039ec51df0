-- Construction records: what a contractor's tenant keeps. Every reference is by (tenant_id, id), so that none can lead
-- into another tenant. Amounts are whole cents and quantities whole thousandths: exact, and bounded as the domain
-- bounds them. The primary keys, read backwards, serve the lists.

CREATE TABLE contacts (
    tenant_id    bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    first_name   text CHECK (length(first_name) BETWEEN 1 AND 200),
    last_name    text CHECK (length(last_name) BETWEEN 1 AND 200),
    company_name text CHECK (length(company_name) BETWEEN 1 AND 200),
    email        text CHECK (length(email) BETWEEN 1 AND 254),
    phone        text CHECK (length(phone) BETWEEN 1 AND 50),
    type         text NOT NULL CHECK (type IN ('customer', 'lead', 'vendor', 'subcontractor')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CHECK (first_name IS NOT NULL OR company_name IS NOT NULL)
);

CREATE TABLE companies (
    tenant_id  bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email      text CHECK (length(email) BETWEEN 1 AND 254),
    phone      text CHECK (length(phone) BETWEEN 1 AND 50),
    website    text CHECK (length(website) BETWEEN 1 AND 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE opportunities (
    tenant_id   bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    stage       text CHECK (length(stage) BETWEEN 1 AND 50),
    value_cents bigint CHECK (value_cents BETWEEN 0 AND 99999999999999),
    company_id  bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, company_id) REFERENCES companies (tenant_id, id)
);

CREATE TABLE projects (
    tenant_id            bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id                   bigint GENERATED ALWAYS AS IDENTITY,
    -- PRJ-001 is 1.
    number               integer NOT NULL CHECK (number > 0),
    name                 text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    contact_id           bigint,
    contract_value_cents bigint NOT NULL CHECK (contract_value_cents BETWEEN 0 AND 99999999999999),
    status               text NOT NULL CHECK (status IN ('active', 'on_hold', 'completed', 'cancelled')),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, contact_id) REFERENCES contacts (tenant_id, id)
);

CREATE TABLE bids (
    tenant_id  bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    -- BID-001 is 1.
    number     integer NOT NULL CHECK (number > 0),
    project_id bigint,
    title      text CHECK (length(title) BETWEEN 1 AND 200),
    status     text NOT NULL CHECK (status IN ('draft', 'sent', 'viewed', 'accepted', 'rejected')),
    sent_at    timestamptz,
    viewed_at  timestamptz,
    decided_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    -- No state without what leads to it.
    CHECK ((status = 'draft') = (sent_at IS NULL)),
    CHECK (status <> 'viewed' OR viewed_at IS NOT NULL),
    CHECK (status NOT IN ('draft', 'sent') OR viewed_at IS NULL),
    CHECK ((status IN ('accepted', 'rejected')) = (decided_at IS NOT NULL))
);
-- The accepted bid that a change order is applied to.
CREATE INDEX bids_accepted ON bids (tenant_id, project_id, decided_at, id) WHERE status = 'accepted';

CREATE TABLE bid_items (
    tenant_id            bigint NOT NULL,
    bid_id               bigint NOT NULL,
    position             integer NOT NULL CHECK (position BETWEEN 1 AND 1000),
    description          text NOT NULL CHECK (length(description) BETWEEN 1 AND 200),
    quantity_thousandths bigint NOT NULL CHECK (quantity_thousandths BETWEEN 1 AND 1000000000),
    -- Below zero only where a change order deducted something.
    unit_price_cents     bigint NOT NULL CHECK (unit_price_cents BETWEEN -99999999999999 AND 99999999999999),
    PRIMARY KEY (tenant_id, bid_id, position),
    FOREIGN KEY (tenant_id, bid_id) REFERENCES bids (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE pay_apps (
    tenant_id    bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    project_id   bigint NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999999),
    period_end   date,
    status       text NOT NULL CHECK (status IN ('draft', 'submitted', 'approved')),
    submitted_at timestamptz,
    approved_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CHECK ((status = 'draft') = (submitted_at IS NULL)),
    CHECK ((status = 'approved') = (approved_at IS NOT NULL))
);

CREATE TABLE change_orders (
    tenant_id      bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    project_id     bigint NOT NULL,
    title          text CHECK (length(title) BETWEEN 1 AND 200),
    status         text NOT NULL CHECK (status IN ('draft', 'submitted', 'approved')),
    submitted_at   timestamptz,
    approved_at    timestamptz,
    -- The accepted bid that the items were appended to, if the project had one.
    applied_to_bid bigint,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    FOREIGN KEY (tenant_id, applied_to_bid) REFERENCES bids (tenant_id, id),
    CHECK ((status = 'draft') = (submitted_at IS NULL)),
    CHECK ((status = 'approved') = (approved_at IS NOT NULL)),
    CHECK (status = 'approved' OR applied_to_bid IS NULL)
);

CREATE TABLE change_order_items (
    tenant_id            bigint NOT NULL,
    change_order_id      bigint NOT NULL,
    position             integer NOT NULL CHECK (position BETWEEN 1 AND 200),
    description          text NOT NULL CHECK (length(description) BETWEEN 1 AND 200),
    quantity_thousandths bigint NOT NULL CHECK (quantity_thousandths BETWEEN 1 AND 1000000000),
    -- Below zero: a deduction.
    unit_price_cents     bigint NOT NULL CHECK (unit_price_cents BETWEEN -99999999999999 AND 99999999999999),
    PRIMARY KEY (tenant_id, change_order_id, position),
    FOREIGN KEY (tenant_id, change_order_id) REFERENCES change_orders (tenant_id, id) ON DELETE CASCADE
);
