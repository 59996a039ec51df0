-- The days that have partitions, whatever plan the catalogue is read by.
--
-- A condition on the day could be asked of every relation of the catalogue, before it was known which are partitions: the
-- end of any other name is no date, and retention failed. The names are found first now.
CREATE OR REPLACE FUNCTION partition_days() RETURNS SETOF date
    LANGUAGE sql STABLE
AS $$
    WITH part AS MATERIALIZED (
        SELECT part.relname
        FROM pg_inherits AS inheritance
        JOIN pg_class AS part ON part.oid = inheritance.inhrelid
        WHERE inheritance.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'delivery_attempts'::regclass)
    )
    SELECT DISTINCT to_date(right(relname, 8), 'YYYYMMDD')
    FROM part
$$;
