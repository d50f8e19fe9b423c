-- Run once by the postgres image, as its superuser, when the volume is new: two roles that own what they use, and the
-- one of the API and the worker, to which `migrate` grants what they need.
\getenv followthrough_password FOLLOWTHROUGH_DATABASE_PASSWORD
\getenv app_password FOLLOWTHROUGH_APP_DATABASE_PASSWORD
\getenv temporal_password TEMPORAL_DATABASE_PASSWORD

CREATE ROLE followthrough LOGIN PASSWORD :'followthrough_password';
CREATE ROLE followthrough_app LOGIN PASSWORD :'app_password';
CREATE DATABASE followthrough OWNER followthrough;
REVOKE CONNECT ON DATABASE followthrough FROM PUBLIC;
GRANT CONNECT ON DATABASE followthrough TO followthrough_app;
-- Whoever changes the tables may also end the sessions of those who use them.
GRANT followthrough_app TO followthrough;

-- Temporal's own tool creates its two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal_password';
