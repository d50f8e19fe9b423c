"""Task-queue names. Each provider has one of its own, so that its trouble or rate limit holds back nothing else."""

ORDERS = "orders"
PAYMENTS = "payments"
CARRIER = "carrier"
ACCOUNTS = "accounts"
MAIL = "mail"
WEBHOOKS = "webhooks"
SHIPMENTS = "shipments"
ALL = (ORDERS, PAYMENTS, CARRIER, ACCOUNTS, MAIL, WEBHOOKS, SHIPMENTS)
