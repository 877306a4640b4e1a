//! The paths. A change is a POST and waits for its result; a listing is a GET.

/// GET: [`crate::Status`].
pub const STATUS: &str = "/v1/status";
/// GET: [`crate::Services`].
pub const SERVICES: &str = "/v1/services";
/// GET: [`crate::Plugins`].
pub const PLUGINS: &str = "/v1/plugins";
/// GET: [`crate::Outcome`] with the plan of a reload; nothing is changed.
pub const PLAN: &str = "/v1/plan";
/// POST: [`crate::Outcome`]. Query `confirm=60s`: rolls back unless confirmed within that time.
pub const RELOAD: &str = "/v1/reload";
/// POST: [`crate::Outcome`]: keeps a reload with `confirm`.
pub const CONFIRM: &str = "/v1/confirm";
/// POST `/v1/drain/NAME`: [`crate::Drained`]. Query `wait=true`: answers when the last stream is gone.
pub const DRAIN: &str = "/v1/drain/";
/// POST `/v1/rollback/PLUGIN`: [`crate::Outcome`]: the previous generation serves again.
pub const ROLLBACK: &str = "/v1/rollback/";
/// GET: the text format of Prometheus.
pub const METRICS: &str = "/metrics";
/// GET: 200 while the process is alive.
pub const LIVE: &str = "/livez";
/// GET: 200 while the daemon serves and every instance is healthy; 503 with the reason while it starts, drains or
/// stops.
pub const READY: &str = "/readyz";
