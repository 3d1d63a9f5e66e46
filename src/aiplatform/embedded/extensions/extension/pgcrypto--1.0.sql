-- SHA-1 is missing because PostgreSQL has no built-in function for it. crypt() is missing because
-- the API hashes passwords itself.

CREATE FUNCTION digest(data bytea, algorithm text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    CASE pg_catalog.lower(algorithm)
        WHEN 'md5' THEN RETURN pg_catalog.decode(pg_catalog.md5(data), 'hex');
        WHEN 'sha224' THEN RETURN pg_catalog.sha224(data);
        WHEN 'sha256' THEN RETURN pg_catalog.sha256(data);
        WHEN 'sha384' THEN RETURN pg_catalog.sha384(data);
        WHEN 'sha512' THEN RETURN pg_catalog.sha512(data);
        ELSE RAISE EXCEPTION 'Cannot use "%": No such hash algorithm', algorithm
            USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END
$$;

CREATE FUNCTION digest(data text, algorithm text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN digest(pg_catalog.convert_to(data, pg_catalog.getdatabaseencoding()), algorithm);
