-- The delivery log of a tenant reads that of each endpoint that it ever had; endpoints_of_tenant knows those that are
-- not deleted.
CREATE INDEX endpoints_ever_of_tenant ON endpoints (tenant_id, id);
