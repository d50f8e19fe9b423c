"""Task-queue names. Each provider has one of its own, so that its trouble or rate limit holds back nothing else."""

ORDERS = "orders"
PAYMENTS = "payments"
CARRIER = "carrier"
ACCOUNTS = "accounts"
MAIL = "mail"
WEBHOOKS = "webhooks"
SHIPMENTS = "shipments"
SCHEDULES = "schedules"
JOBS = "jobs"
# For jobs that come in thousands, so that they wait for each other and not everybody for them.
JOBS_BULK = "jobs-bulk"
FOR_JOBS = (JOBS, JOBS_BULK)
# Each takes memory and Postgres for minutes: a worker runs few at once.
REPORTS = "reports"
# For jobs that run in processes of their own, on the machines that have processors to spare.
CPU = "cpu"
# The processes of batches, whose jobs go where jobs go, and of what operators do in bulk.
BATCHES = "batches"
# Where workers have versions, workflows of these end on the version that began them; others move with the versions.
PINNED = frozenset((ORDERS,))
# Jobs are no part of a workflow, and belong to no version of the workers: any of them takes them.
UNVERSIONED = frozenset((*FOR_JOBS, REPORTS, CPU))
ALL = (ORDERS, PAYMENTS, CARRIER, ACCOUNTS, MAIL, WEBHOOKS, SHIPMENTS, SCHEDULES, BATCHES, *FOR_JOBS, REPORTS, CPU)
