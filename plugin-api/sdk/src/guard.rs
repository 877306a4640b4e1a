//! A guard for handlers that reply to datagrams of unknown peers: a service that replies to
//! everything can be driven into an endless loop with another one, or made to flood a victim whose
//! address was forged.

use polyport_abi::{PP_FAMILY_V4, PP_FAMILY_V6};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::Address;
use crate::handler::Instance;
use crate::metric::{Counter, Metric};

/// Ports of services that reply to any datagram: echo, daytime, quote of the day, chargen, time.
const REPLYING: [u16; 5] = [7, 13, 17, 19, 37];

/// Lower ports belong to services, not to clients.
const PRIVILEGED: u16 = 1024;

/// Configuration of the guard; a handler without other settings can use it as its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LoopGuardConfig {
    /// Reply to no datagram from a port below 1024.
    pub refuse_privileged_source_ports: bool,
}

/// Decides which datagrams get a reply.
#[derive(Clone, Copy, Debug)]
pub struct LoopGuard {
    config: LoopGuardConfig,
    refused: Counter,
}

impl LoopGuard {
    /// A guard that counts its refusals in `metric`. `[ctl]`
    #[must_use]
    pub fn new(instance: &mut Instance<'_>, metric: &Metric<'_>, config: LoopGuardConfig) -> Self {
        Self {
            config,
            refused: instance.counter(metric),
        }
    }

    /// Whether a datagram from this address may be replied to. A refusal is counted. `[any]`
    #[inline]
    #[must_use]
    pub fn allows(&self, from: &Address) -> bool {
        let allowed = self.config.allows(from);
        if !allowed {
            self.refused.add(1);
        }
        allowed
    }
}

impl LoopGuardConfig {
    /// The address of a Unix peer cannot be forged. Nothing can be sent to port 0.
    #[inline]
    fn allows(self, from: &Address) -> bool {
        let (PP_FAMILY_V4 | PP_FAMILY_V6, port) = (from.0.family, from.0.port) else {
            return true;
        };
        let refused = port == 0
            || REPLYING.contains(&port)
            || (self.refuse_privileged_source_ports && port < PRIVILEGED);
        !refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_abi::{PP_FAMILY_UNIX, PpAddr};
    use std::net::SocketAddr;

    fn allows(text: &str, refuse_privileged_source_ports: bool) -> bool {
        let from: SocketAddr = text.parse().unwrap();
        LoopGuardConfig {
            refuse_privileged_source_ports,
        }
        .allows(&from.into())
    }

    #[test]
    fn guard_refuses_services_that_reply() {
        for port in REPLYING {
            assert!(!allows(&format!("192.0.2.1:{port}"), false));
            assert!(!allows(&format!("[2001:db8::1]:{port}"), false));
        }
        assert!(!allows("192.0.2.1:0", false));
        assert!(allows("192.0.2.1:53", false));
        assert!(allows("192.0.2.1:40000", true));
        assert!(!allows("192.0.2.1:53", true));
        assert!(!allows("192.0.2.1:1023", true));
        assert!(allows("192.0.2.1:1024", true));
    }

    #[test]
    fn guard_allows_unix_peers() {
        let unix = Address(PpAddr {
            family: PP_FAMILY_UNIX,
            ..PpAddr::default()
        });
        assert!(
            LoopGuardConfig {
                refuse_privileged_source_ports: true
            }
            .allows(&unix)
        );
    }
}
