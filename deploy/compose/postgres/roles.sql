-- Run once by the postgres image, as its superuser, when the volume is new: two roles that own what they use.
\getenv followthrough_password FOLLOWTHROUGH_DATABASE_PASSWORD
\getenv temporal_password TEMPORAL_DATABASE_PASSWORD

CREATE ROLE followthrough LOGIN PASSWORD :'followthrough_password';
CREATE DATABASE followthrough OWNER followthrough;
REVOKE CONNECT ON DATABASE followthrough FROM PUBLIC;

-- Temporal's own tool creates its two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal_password';
