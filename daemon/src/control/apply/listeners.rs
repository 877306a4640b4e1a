//! Listeners: all new ones are opened before any old one closes.

use super::{ApplyError, Mode, Transaction};
use crate::control::listen::bind::{self, BindRetry, ListenSocket};
use crate::control::plan::ListenerPlan;
use crate::control::running::OpenListener;

/// Opens what is not open. Sockets that were passed to this process come first.
pub(super) async fn open_listeners(transaction: &mut Transaction<'_>) -> Result<(), ApplyError> {
    let retry = match transaction.mode {
        Mode::Start => BindRetry::ColdStart,
        Mode::Change => BindRetry::None,
    };
    let plans = transaction.plan.listeners.iter();
    let missing: Vec<&ListenerPlan> = plans.filter(|plan| plan.kept.is_none()).collect();
    let passed = adopt_passed(transaction, &missing)?;
    for (plan, passed) in missing.into_iter().zip(passed) {
        transaction.check_interrupt()?;
        let opened = match passed {
            Some(socket) => Ok(socket),
            None => {
                let worker = transaction.context.plane.next_worker();
                bind::open(&plan.address, worker, retry).await
            }
        };
        let checked = opened.and_then(|socket| check_kind(transaction, plan, socket));
        transaction.undo.opened.push(OpenListener {
            address: plan.address.clone(),
            service: plan.service.clone(),
            socket: checked.map_err(|reason| bind_error(plan, reason))?,
        });
    }
    set_access(transaction)
}

/// Takes the sockets that were passed to this process for these listeners. The others are closed; those of an old
/// process only once it has committed the hand-over.
fn adopt_passed(
    transaction: &Transaction<'_>,
    missing: &[&ListenerPlan],
) -> Result<Vec<Option<ListenSocket>>, ApplyError> {
    let process = transaction.context.process;
    let Some(mut activation) = process.activation.take() else {
        return Ok(vec![None; missing.len()]);
    };
    let mut adopted = Vec::new();
    let shared = process.is_standby();
    for plan in missing {
        let claimed = activation.claim(&plan.address, &plan.service);
        let socket = claimed.map(|claimed| {
            let worker = transaction.context.plane.next_worker();
            bind::adopt(&plan.address, claimed, worker, shared)
        });
        let socket = socket.transpose();
        adopted.push(socket.map_err(|reason| bind_error(plan, reason))?);
    }
    if shared {
        process.activation.replace(Some(activation));
    } else {
        activation.close_unclaimed(&process.manager);
    }
    Ok(adopted)
}

/// Gives open Unix sockets another mode and group, if those are configured.
fn set_access(transaction: &mut Transaction<'_>) -> Result<(), ApplyError> {
    for plan in &transaction.plan.listeners {
        let kept = plan.kept.as_ref();
        let Some(open) = kept.filter(|open| open.address != plan.address) else {
            continue;
        };
        // Recorded first, because it may fail half-way.
        transaction.undo.access_changed.push(open.clone());
        let set = open.socket.set_access(&plan.address);
        set.map_err(|reason| bind_error(plan, reason))?;
    }
    Ok(())
}

/// Checks that the handler serves what the socket takes; the kind of a socket passed by name is known only now.
fn check_kind(
    transaction: &Transaction<'_>,
    plan: &ListenerPlan,
    socket: ListenSocket,
) -> Result<ListenSocket, String> {
    let service = transaction.config.service(&plan.service);
    let mut instances = transaction.instances.iter().flatten();
    let handle =
        service.and_then(|service| instances.find(|handle| handle.name() == service.handler));
    let Some(handle) = handle else {
        return Ok(socket);
    };
    let instance = handle.hook_thread.instance();
    let (fits, what) = match &socket {
        ListenSocket::Streams(_) => (instance.handler().serves_streams(), "streams"),
        ListenSocket::Datagrams(_) => (instance.handler().serves_datagrams(), "datagrams"),
    };
    if fits {
        return Ok(socket);
    }
    let handler = &instance.handler().id;
    Err(format!(
        "handler `{handler}` does not serve {what}, which is what the socket {} is for",
        plan.address
    ))
}

fn bind_error(plan: &ListenerPlan, reason: String) -> ApplyError {
    ApplyError::Bind {
        service: plan.service.clone(),
        reason,
    }
}
