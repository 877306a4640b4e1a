//! A handler: an implementation of a protocol, and the life cycle of its instances. All of it is
//! `[ctl]`: hooks of one instance never overlap, but they run concurrently with the `[io]`
//! callbacks of its streams, hence `&self` and `Sync`.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use polyport_abi::{PP_OK, PpId, PpStatus};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::Report;
use crate::host::host;
use crate::ids::{InstanceId, Target};
use crate::metric::{Counter, Gauge, Metric};
use crate::owner::owner_functions;
use crate::raw::lend;
use crate::state::{StateReader, StateWriter};
use crate::status::{Error, Result, Status};
use crate::time::Moment;

/// An implementation of a protocol. One value is one instance: it serves every stream and socket
/// that the operator's configuration routes to it. The traits
/// [`StreamHandler`](crate::StreamHandler), [`SocketHandler`](crate::SocketHandler) and
/// [`FlowHandler`](crate::FlowHandler) define what it serves.
///
/// A hook that takes longer than a moment calls [`Hook::defer`] and returns; each hook has a
/// deadline of the host.
pub trait Handler: Sized + Send + Sync + 'static {
    /// The name in the configuration.
    const ID: &'static CStr;
    /// A line for people.
    const SUMMARY: &'static CStr;
    /// Request all callbacks of one stream on one OS thread.
    const PINNED: bool = false;
    /// Keep reading while output is above the high watermark.
    const MANUAL_FLOW: bool = false;
    /// Version of the state that [`Persist`] and the `Migrate` traits write.
    const STATE_VERSION: u32 = 0;
    /// Oldest version of the state that they read.
    const STATE_MIN_VERSION: u32 = 0;

    /// The configuration; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned + JsonSchema + 'static;

    /// Checks what types cannot express. No side effects: it may run in a checking process. `[any]`
    fn check(config: &Self::Config, report: &mut Report<'_>) {
        let _ = (config, report);
    }

    /// Creates an instance: no sockets, no threads yet. `[ctl]`
    ///
    /// # Errors
    ///
    /// The instance is not created; the reason is reported to the operator.
    fn create(instance: &mut Instance<'_>, config: Self::Config) -> Result<Self>;

    /// A new configuration for a running instance, concurrent with its callbacks. `[ctl]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED`, the default: the host makes a new instance instead.
    fn reconfigure(&self, instance: &mut Instance<'_>, config: Self::Config) -> Result<()> {
        let _ = (instance, config);
        Err(Status::UNSUPPORTED.into())
    }

    /// Threads may start; traffic follows. `[ctl]`
    ///
    /// # Errors
    ///
    /// The instance does not serve.
    fn start(&self, hook: &mut Hook<'_>) -> Result<()> {
        let _ = hook;
        Ok(())
    }

    /// No new streams follow; finish the instance's own work. `[ctl]`
    ///
    /// # Errors
    ///
    /// Logged; the teardown goes on.
    fn drain(&self, hook: &mut Hook<'_>, deadline: Moment) -> Result<()> {
        let _ = (hook, deadline);
        Ok(())
    }

    /// Join all threads: after this hook has ended the instance must not call the host. `[ctl]`
    ///
    /// # Errors
    ///
    /// Logged; the teardown goes on.
    fn stop(&self, hook: &mut Hook<'_>) -> Result<()> {
        let _ = hook;
        Ok(())
    }

    /// [`InstanceId::wake`] was called. `[ctl]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_wake(&self, instance: &mut Instance<'_>, bits: u64) -> Result<()> {
        let _ = (instance, bits);
        Ok(())
    }

    /// A timer of the instance fired. `[ctl]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_timer(&self, instance: &mut Instance<'_>, key: u32) -> Result<()> {
        let _ = (instance, key);
        Ok(())
    }

    /// A dial of the instance failed. `[ctl]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_dial_failed(&self, instance: &mut Instance<'_>, tag: u64, why: Status) -> Result<()> {
        let _ = (instance, tag, why);
        Ok(())
    }

    /// Checks whether the instance is ready; findings of the report explain why not. `[ctl]`
    ///
    /// # Errors
    ///
    /// The instance is not ready.
    fn health(&self, instance: &mut Instance<'_>, report: &mut Report<'_>) -> Result<()> {
        let _ = (instance, report);
        Ok(())
    }
}

/// A handler whose instances keep state across a reload or a restart.
pub trait Persist: Handler {
    /// Writes the state. No `[io]` callback runs; the state stays in use afterwards. `[ctl]`
    ///
    /// # Errors
    ///
    /// The state is not kept; the reason is logged.
    fn save_state(&self, instance: &mut Instance<'_>, to: &mut StateWriter<'_>) -> Result<()>;

    /// Reads state of `version`, after `create` and before `start`. `[ctl]`
    ///
    /// # Errors
    ///
    /// The instance does not start; the reason is reported to the operator.
    fn restore_state(
        &self,
        instance: &mut Instance<'_>,
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<()>;
}

/// A handler whose state can exist in one generation only: on reload the old instance is frozen
/// first.
pub trait Exclusive: Handler {
    /// Release resources that cannot be shared. Until `thaw` the only `[io]` callbacks are
    /// `export_state` and `closed`, of objects that migrate or end. `[ctl]`
    ///
    /// # Errors
    ///
    /// The reload is undone.
    fn freeze(&self, hook: &mut Hook<'_>) -> Result<()>;

    /// The reload was undone: resume. `[ctl]`
    ///
    /// # Errors
    ///
    /// The instance is abandoned.
    fn thaw(&self, hook: &mut Hook<'_>) -> Result<()>;
}

/// An instance inside one of its hooks. Its methods need the `[ctl]` context.
#[derive(Debug)]
pub struct Instance<'a> {
    id: InstanceId,
    /// Valid for one hook, on its thread.
    hook: PhantomData<(&'a (), *mut ())>,
}

impl Instance<'_> {
    /// Its id, for [`InstanceId::wake`]. `[any]`
    #[must_use]
    pub const fn id(&self) -> InstanceId {
        self.id
    }

    /// A counter; the same name returns the same cell. If the host refuses to export it, the
    /// refusal is logged and the counter is not exported. `[ctl]`
    pub fn counter(&mut self, metric: &Metric<'_>) -> Counter {
        metric.counter(self.id.0)
    }

    /// A gauge; refused like a counter. `[ctl]`
    pub fn gauge(&mut self, metric: &Metric<'_>) -> Gauge {
        metric.gauge(self.id.0)
    }

    owner_functions!("[ctl]");

    pub(crate) const fn new(id: PpId) -> Self {
        Self {
            id: InstanceId(id),
            hook: PhantomData,
        }
    }

    pub(crate) const fn reborrow(&mut self) -> Instance<'_> {
        Instance {
            id: self.id,
            hook: PhantomData,
        }
    }
}

impl Target for Instance<'_> {
    fn raw_id(&self) -> u64 {
        self.id.0
    }
}

/// An instance inside a hook that may end later.
#[derive(Debug)]
pub struct Hook<'a> {
    instance: Instance<'a>,
    op: PpId,
    deferred: Cell<bool>,
}

impl<'a> Hook<'a> {
    /// The hook continues after its return, until [`Operation::finish`]. `[ctl]`
    ///
    /// # Errors
    ///
    /// `INVAL` for a second token: a hook ends once.
    pub fn defer(&mut self) -> Result<Operation> {
        if self.deferred.replace(true) {
            return Err(Error::new("this hook was deferred before").with_status(Status::INVAL));
        }
        Ok(Operation { id: self.op })
    }

    pub(crate) const fn new(instance: Instance<'a>, op: PpId) -> Self {
        Self {
            instance,
            op,
            deferred: Cell::new(false),
        }
    }

    pub(crate) const fn is_deferred(&self) -> bool {
        self.deferred.get()
    }
}

impl<'a> Deref for Hook<'a> {
    type Target = Instance<'a>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl DerefMut for Hook<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.instance
    }
}

impl Target for Hook<'_> {
    fn raw_id(&self) -> u64 {
        self.instance.raw_id()
    }
}

/// A deferred hook. Dropping it unfinished ends the hook as failed.
#[derive(Debug)]
#[must_use = "dropping it ends the hook as failed"]
pub struct Operation {
    id: PpId,
}

impl Operation {
    /// Ends the hook. `[any]`
    pub fn finish(self, result: Result<()>) {
        match result {
            Ok(()) => self.complete(PP_OK, ""),
            Err(error) => self.complete(error.status().code(), error.message().unwrap_or_default()),
        }
        std::mem::forget(self);
    }

    /// A late or second call is refused by the host and harmless, so the result is ignored.
    fn complete(&self, code: PpStatus, why: &str) {
        let why = lend(why.as_bytes());
        // SAFETY: `complete` may be called from any thread; the text lives until it returns.
        let _late = unsafe { (host().complete)(self.id, code, &raw const why) };
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.complete(Status::FAIL.code(), "the hook was given up unfinished");
    }
}
