-- The value of a custom header may be a credential: encrypted like a signing secret (ADR 9). The names stay to be shown.
ALTER TABLE endpoints
    ADD COLUMN header_names       text[] NOT NULL DEFAULT '{}',
    -- XChaCha20-Poly1305 over `Name: value` lines in the customer's order: nonce and ciphertext; which master key.
    ADD COLUMN headers_key_id     text,
    ADD COLUMN headers_ciphertext bytea,
    ADD CHECK ((headers_key_id IS NULL) = (headers_ciphertext IS NULL));

-- What an earlier version wrote in clear is encrypted by the API's upkeep, which has the key. Until then it is sent from here.
UPDATE endpoints
SET header_names = ARRAY(SELECT header ->> 0 FROM jsonb_array_elements(headers) AS header)
WHERE headers <> '[]';
COMMENT ON COLUMN endpoints.headers IS 'empty but for what a version before V10 wrote and nobody has encrypted yet';
