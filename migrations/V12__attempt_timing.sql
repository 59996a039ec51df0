-- Where an attempt's time went: looking up the name, connecting, TLS, waiting, reading; in microseconds, null where the
-- attempt did without. Null as a whole where an earlier version recorded it. Without a CHECK, which would read the
-- whole log under a lock.
ALTER TABLE delivery_attempts ADD COLUMN timing integer[];
