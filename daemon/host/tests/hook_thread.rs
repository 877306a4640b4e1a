//! Hook threads: which hooks they call, and which no longer.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support outside of test functions"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Workshop, staged};
use polyport_host::generation::load;
use polyport_host::hook_thread::{HookFault, HookThread};
use polyport_host::hooks::Hook;
use polyport_host::instance::Instance;
use polyport_host::registry::registry;
use polyport_host::services::host_table;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps an instance of the zoo whose `create` is this; it ends the process when it is called once it is dead.
fn kept(workshop: &Workshop, create: &str) -> Arc<HookThread> {
    let path = workshop.zoo("zoo", &[&format!("CREATE={create}")]);
    let generation = load(staged(&path), 1, host_table()).unwrap();
    let handler = generation.handlers[0].clone();
    HookThread::start(Instance::new(registry(), "beast", generation, handler).unwrap()).unwrap()
}

fn block_on<R>(work: impl Future<Output = R>) -> R {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(work)
}

#[test]
fn hook_thread_calls_nothing_after_destroy_though_a_timer_is_due_and_a_wake_waits() {
    let workshop = Workshop::new();
    let hook_thread = kept(&workshop, "return PP_OK");
    block_on(async {
        hook_thread
            .call(Hook::Create("{}".to_owned()), TIMEOUT)
            .await
            .unwrap();
        hook_thread.call(Hook::Destroy, TIMEOUT).await.unwrap();
        assert!(!hook_thread.instance().is_created());
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Nobody is there to be called, which is no fault and takes no time.
        hook_thread.call(Hook::Health, TIMEOUT).await.unwrap();
    });
    assert!(!hook_thread.is_abandoned());
}

#[test]
fn hook_thread_calls_nothing_after_a_failed_create() {
    let workshop = Workshop::new();
    let hook_thread = kept(&workshop, "dead=1;return PP_E_FAIL");
    block_on(async {
        let created = hook_thread
            .call(Hook::Create("{}".to_owned()), TIMEOUT)
            .await;
        assert!(matches!(created, Err(HookFault::Failed { .. })));
        tokio::time::sleep(Duration::from_millis(50)).await;
        hook_thread.call(Hook::Destroy, TIMEOUT).await.unwrap();
    });
    assert!(!hook_thread.is_abandoned());
}
