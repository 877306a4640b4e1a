//! From types to tables: the note, the exported function, and the trampolines.
//!
//! [`export_plugin!`](crate::export_plugin) is the only way to make them, so each entry of a plugin
//! runs under the guard of `panic.rs`. The items are public for the macro alone and may change at
//! any time.

mod tables;
mod note;
mod probe;
mod handler;
mod enter;
mod object;
mod stream;
mod socket;
mod flow;

pub use handler::table;
pub use note::{Identity, note};
pub use probe::{Absent, Found, Probe};
pub use tables::Tables;

/// Makes a plugin of handlers: the note, the tables and the exported function. Use it once, at the
/// crate root.
///
/// ```
/// # use polyport_sdk::prelude::*;
/// # struct Quiet;
/// # impl Handler for Quiet {
/// #     const ID: &'static std::ffi::CStr = c"quiet";
/// #     const SUMMARY: &'static std::ffi::CStr = c"says nothing";
/// #     type Config = NoConfig;
/// #     fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> { Ok(Self) }
/// # }
/// # impl StreamHandler for Quiet {
/// #     type State = ();
/// #     fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> { Ok(()) }
/// #     fn on_data(&self, (): &mut (), _: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
/// #         Ok(input.all())
/// #     }
/// # }
/// polyport_sdk::export_plugin! {
///     id: "org.example.quiet",
///     handlers: [Quiet],
/// }
/// ```
///
/// Version and licence are those of the package. The implemented traits decide what a handler
/// serves: a table, or a callback of the traits `Drain…`, `Migrate…`, [`Persist`](crate::Persist)
/// and [`Exclusive`](crate::Exclusive), is absent where the trait is.
#[macro_export]
macro_rules! export_plugin {
    (id: $id:literal, handlers: [$($handler:ty),+ $(,)?] $(,)?) => {
        const _: () = {
            use $crate::export::{Identity, Tables};

            const IDENTITY: Identity = Identity {
                id: ::core::concat!($id, "\0"),
                version: ::core::concat!(::core::env!("CARGO_PKG_VERSION"), "\0"),
                license: ::core::concat!(::core::env!("CARGO_PKG_LICENSE"), "\0"),
                panic_aborts: ::core::cfg!(panic = "abort"),
            };

            #[used]
            #[unsafe(link_section = ".note.polyport")]
            static NOTE: $crate::abi::PpNote = $crate::export::note(&IDENTITY);

            static TABLES: Tables =
                Tables::new(&IDENTITY, &[$(|| $crate::handler_table!($handler)),+]);

            #[unsafe(no_mangle)]
            extern "C" fn polyport_plugin_v1() -> *const $crate::abi::PpPlugin {
                TABLES.plugin()
            }
        };
    };
}

/// The table of one handler, by its traits; for [`export_plugin!`](crate::export_plugin) and tests.
#[macro_export]
macro_rules! handler_table {
    ($handler:ty) => {{
        use $crate::export::{Absent as _, Found, Probe};
        $crate::export::table::<$handler>(
            const {
                &Found::new(Probe::<$handler>::STATE, Probe::<$handler>::EXCLUSIVE)
                    .streams(
                        Probe::<$handler>::STREAM,
                        Probe::<$handler>::STREAM_DRAIN,
                        Probe::<$handler>::STREAM_MIGRATE,
                    )
                    .sockets(Probe::<$handler>::SOCKET, Probe::<$handler>::SOCKET_DRAIN)
                    .flows(
                        Probe::<$handler>::FLOW,
                        Probe::<$handler>::FLOW_DRAIN,
                        Probe::<$handler>::FLOW_MIGRATE,
                    )
            },
        )
    }};
}
