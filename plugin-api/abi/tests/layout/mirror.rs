//! Every struct of the mirror with its C name and all its fields; the layout table is computed from
//! it.

use core::mem::{offset_of, size_of};

use polyport_abi as abi;

/// One line of the table.
pub(crate) struct Line {
    /// The C name of the struct.
    pub(crate) name: &'static str,
    /// The C name of the field; `-` is the struct as a whole.
    pub(crate) field: &'static str,
    /// Bytes from the start of the struct.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
}

macro_rules! layout {
    ($($name:literal: $rust:ident { $($field:ident),+ $(,)? })+) => {
        /// The table by the layout of the mirror.
        pub(crate) fn lines() -> Vec<Line> {
            let mut lines = Vec::new();
            $(
                let size = size_of::<abi::$rust>();
                lines.push(Line { name: $name, field: "-", offset: 0, size });
                // A missing field does not compile.
                let _complete = |whole: &abi::$rust| {
                    let abi::$rust { $($field: _),+ } = whole;
                };
                $(lines.push(Line {
                    name: $name,
                    field: c_name($name, stringify!($field)),
                    offset: offset_of!(abi::$rust, $field),
                    size: abi::end_of!(abi::$rust, $field) - offset_of!(abi::$rust, $field),
                });)+
            )+
            lines
        }
    };
}

/// `type` is a keyword of Rust, so the mirror calls that field `kind`.
fn c_name(name: &str, field: &'static str) -> &'static str {
    if name == "pp_note" && field == "kind" {
        "type"
    } else {
        field
    }
}

layout! {
    "pp_slice": PpSlice {
        ptr, len
    }
    "pp_addr": PpAddr {
        family, port, scope, ip
    }
    "pp_kv": PpKv {
        key, value
    }
    "pp_report": PpReport {
        ctx, add
    }
    "pp_sink": PpSink {
        ctx, write
    }
    "pp_source": PpSource {
        ctx, read
    }
    "pp_dial": PpDial {
        struct_size, flags, kind, reserved, upstream, path, addr, connect_timeout, tag
    }
    "pp_out": PpOut {
        data, peer, to, from, flags, reserved
    }
    "pp_host": PpHost {
        struct_size, abi_minor, version, log_level, get_extension, log, now, metric, wake,
        complete, write, reserve, commit, set_reads, set_watermarks, close, attribute, timer_set,
        timer_cancel, dial, send_datagrams
    }
    "pp_stream_info": PpStreamInfo {
        struct_size, flags, local, remote, direct, parent, tag, service, listener, sni, alpn
    }
    "pp_stream_ops": PpStreamOps {
        struct_size, reserved, open, on_data, on_writable, on_wake, on_timer, on_drain,
        on_dial_failed, export_state, import_state, closed
    }
    "pp_socket_info": PpSocketInfo {
        struct_size, flags, local, remote, parent, tag, service, listener
    }
    "pp_datagram": PpDatagram {
        ptr, len, peer, from, to, received, flags, reserved
    }
    "pp_socket_ops": PpSocketOps {
        struct_size, flags, socket_open, on_datagrams, on_writable, on_send_error, on_wake,
        on_timer, on_drain, on_dial_failed, socket_closed
    }
    "pp_flow_info": PpFlowInfo {
        struct_size, flags, socket, local, remote
    }
    "pp_flow_ops": PpFlowOps {
        struct_size, flags, idle_timeout, flows_max, reserved, flow_open, on_datagrams, on_wake,
        on_timer, on_drain, on_dial_failed, export_state, import_state, closed
    }
    "pp_handler": PpHandler {
        struct_size, flags, id, summary, config_schema, state_version, state_min_version,
        validate, create, reconfigure, restore_state, start, drain, save_state, stop, destroy,
        freeze, thaw, on_wake, on_timer, on_dial_failed, health, stream, socket, flow
    }
    "pp_plugin": PpPlugin {
        struct_size, abi_major, abi_minor, host_size_required, flags, id, version, license,
        handlers, n_handlers, init, fini, get_extension
    }
    "pp_note": PpNote {
        owner_len, body_len, kind, owner, abi_major, abi_minor, host_size_required, flags,
        sha256, id, version
    }
}
