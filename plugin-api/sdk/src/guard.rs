//! A guard for handlers that answer datagrams of strangers: whoever answers everything can be made
//! to answer another such service for ever, or a victim whose address was forged.

use polyport_abi::{PP_FAMILY_V4, PP_FAMILY_V6};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::Address;
use crate::handler::Instance;
use crate::metric::{Counter, Metric};

/// Ports of the services that answer whatever they get: echo, daytime, quote of the day, chargen,
/// time.
const ANSWERING: [u16; 5] = [7, 13, 17, 19, 37];

/// Below this a port belongs to a service, not to a client.
const PRIVILEGED: u16 = 1024;

/// What the operator may say about the guard; a handler that needs nothing else takes it as its
/// configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LoopGuardConfig {
    /// Answer no datagram that comes from a port below 1024.
    pub refuse_privileged_source_ports: bool,
}

/// Decides which datagrams are answered at all.
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

    /// May a datagram from this address be answered? A refusal is counted. `[any]`
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
    /// A Unix peer cannot be forged. Nothing can be sent to port 0.
    #[inline]
    fn allows(self, from: &Address) -> bool {
        let (PP_FAMILY_V4 | PP_FAMILY_V6, port) = (from.0.family, from.0.port) else {
            return true;
        };
        let refused = port == 0
            || ANSWERING.contains(&port)
            || (self.refuse_privileged_source_ports && port < PRIVILEGED);
        !refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_abi::{PP_FAMILY_UNIX, PpAddr};
    use std::net::SocketAddr;

    fn answered(text: &str, refuse_privileged_source_ports: bool) -> bool {
        let from: SocketAddr = text.parse().unwrap();
        LoopGuardConfig {
            refuse_privileged_source_ports,
        }
        .allows(&from.into())
    }

    #[test]
    fn services_that_answer_are_not_answered() {
        for port in ANSWERING {
            assert!(!answered(&format!("192.0.2.1:{port}"), false));
            assert!(!answered(&format!("[2001:db8::1]:{port}"), false));
        }
        assert!(!answered("192.0.2.1:0", false));
        assert!(answered("192.0.2.1:53", false));
        assert!(answered("192.0.2.1:40000", true));
        assert!(!answered("192.0.2.1:53", true));
        assert!(!answered("192.0.2.1:1023", true));
        assert!(answered("192.0.2.1:1024", true));
    }

    #[test]
    fn unix_peers_have_no_port() {
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
