-- The two other products: their endpoints, and their built-in event types by canonical name.
ALTER TABLE endpoints
    DROP CONSTRAINT endpoints_profile_check,
    ADD CONSTRAINT endpoints_profile_check CHECK (profile IN ('buildworkpro', 'buildr', 'buildmarkets'));
ALTER TABLE event_types
    DROP CONSTRAINT event_types_profile_check,
    ADD CONSTRAINT event_types_profile_check CHECK (profile IN ('buildworkpro', 'buildr', 'buildmarkets'));

-- A canonical type may belong to several products: contact.created does.
DROP INDEX event_types_built_in;
CREATE UNIQUE INDEX event_types_built_in ON event_types (name, profile) WHERE tenant_id IS NULL;

-- Buildr calls them contact.create, contact.update and so on.
INSERT INTO event_types (profile, name, description, example) VALUES
    ('buildr', 'contact.created', 'A contact was created.', '{"id": 5, "url": "https://example.com/contacts/5"}'),
    ('buildr', 'contact.updated', 'A contact was updated.', '{"id": 5, "url": "https://example.com/contacts/5"}'),
    ('buildr', 'opportunity.created', 'An opportunity was created.',
     '{"id": 2279, "url": "https://example.com/opportunities/2279"}'),
    ('buildr', 'opportunity.updated', 'An opportunity was updated.',
     '{"id": 2279, "url": "https://example.com/opportunities/2279"}'),
    ('buildr', 'company.created', 'A company was created.', '{"id": 8, "url": "https://example.com/companies/8"}'),
    ('buildr', 'company.updated', 'A company was updated.', '{"id": 8, "url": "https://example.com/companies/8"}'),
    ('buildr', 'project.created', 'A project was created.', '{"id": 33, "url": "https://example.com/projects/33"}'),
    ('buildr', 'project.updated', 'A project was updated.', '{"id": 33, "url": "https://example.com/projects/33"}'),
    ('buildmarkets', 'account.kyc_approved', 'The account holder''s identity was verified.',
     '{"account_id": "acc_1", "status": "approved"}'),
    ('buildmarkets', 'account.kyc_rejected', 'The account holder''s identity could not be verified.',
     '{"account_id": "acc_1", "status": "rejected"}'),
    ('buildmarkets', 'account.closed', 'The account was closed.', '{"account_id": "acc_1", "status": "closed"}'),
    ('buildmarkets', 'funding.ach_relationship_created', 'A bank account was linked.',
     '{"account_id": "acc_1", "relationship_id": "ach_1"}'),
    ('buildmarkets', 'funding.ach_relationship_removed', 'A bank account was unlinked.',
     '{"account_id": "acc_1", "relationship_id": "ach_1"}'),
    ('buildmarkets', 'funding.deposit_completed', 'A deposit was credited.',
     '{"account_id": "acc_1", "transfer_id": "tr_1", "amount": "250.00"}'),
    ('buildmarkets', 'funding.deposit_returned', 'A deposit was returned by the bank.',
     '{"account_id": "acc_1", "transfer_id": "tr_1", "amount": "250.00"}'),
    ('buildmarkets', 'funding.withdrawal_completed', 'A withdrawal was paid out.',
     '{"account_id": "acc_1", "transfer_id": "tr_2", "amount": "100.00"}'),
    ('buildmarkets', 'funding.withdrawal_returned', 'A withdrawal was returned by the bank.',
     '{"account_id": "acc_1", "transfer_id": "tr_2", "amount": "100.00"}'),
    ('buildmarkets', 'order.submitted', 'An order was sent to the market.',
     '{"order_id": "ord_1", "symbol": "ACME", "qty": 10, "status": "submitted"}'),
    ('buildmarkets', 'order.filled', 'An order was filled.',
     '{"order_id": "ord_1", "symbol": "ACME", "qty": 10, "status": "filled"}'),
    ('buildmarkets', 'order.rejected', 'An order was rejected.',
     '{"order_id": "ord_1", "symbol": "ACME", "qty": 10, "status": "rejected"}'),
    ('buildmarkets', 'order.cancelled', 'An order was cancelled.',
     '{"order_id": "ord_1", "symbol": "ACME", "qty": 10, "status": "cancelled"}');
