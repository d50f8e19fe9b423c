"""Task-queue names. Each provider has one of its own, so that its trouble or rate limit holds back nothing else."""

ORDERS = "orders"
PAYMENTS = "payments"
CARRIER = "carrier"
