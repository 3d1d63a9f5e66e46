-- Version 1.0 is older than any version of the C extension. A dump doesn't name the version, so it
-- can be restored on a server that has the C extension.

CREATE FUNCTION uuid_generate_v4() RETURNS uuid
    LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
    RETURN pg_catalog.gen_random_uuid();

CREATE FUNCTION uuid_nil() RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN '00000000-0000-0000-0000-000000000000'::uuid;
