"""The Prometheus series that every process exposes."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Histogram(
    "kehu_request_seconds",
    "HTTP requests by route and outcome",
    ["route", "method", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
FACADE_CALLS = Counter("kehu_facade_calls", "Youzan-style calls by name, version and code", ["api", "code"])
POOL_WAIT = Histogram("kehu_pool_wait_seconds", "Waiting for a database connection")
REFRESHED = Counter("kehu_refreshed_customers", "Customers recomputed by the refresh")
DELIVERIES = Counter("kehu_deliveries", "Webhook delivery attempts by result", ["result"])
TOUCHES = Counter("kehu_touches", "Touches by final state", ["state"])
BELL_FAILURES = Counter("kehu_bell_failures", "Wake-ups that Redis did not take; polling covers them")
BELL_UP = Gauge("kehu_bell_up", "1 while Redis takes wake-ups")
PUSHES = Counter("kehu_pushes", "Youzan messages received, refused and applied, by result", ["result"])
