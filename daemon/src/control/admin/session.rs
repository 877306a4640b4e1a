//! One connection to the admin socket, from its first byte to its end.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::control::admin::responses::{self, HttpError, HttpReply, Layout};
use crate::control::admin::routes::{self, RouteTarget};
use crate::control::admin::{Command, PeerCredentials, Request};

/// How long a connection may last while no request is answered: to send one, to read the response, or idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of a request that changes nothing: the supervisor answers at once unless it is stuck.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of an operation, above all of its own bounds.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// How long a connection may take to finish once it is to close.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// Most bytes of the request line and headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// The session of one peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: PeerCredentials,
    pub(super) is_allowed: bool,
    pub(super) requests: mpsc::Sender<Request>,
    /// A request is answered now.
    pub(super) busy: watch::Sender<bool>,
}

/// Serves a connection until its peer disconnects or hangs, or until it is to close: after a message on
/// `close_requested` the present request is finished, and when the sender is dropped not even that.
pub(super) async fn serve_connection(
    stream: UnixStream,
    session: Session,
    close_requested: oneshot::Receiver<()>,
) {
    let mut busy = session.busy.subscribe();
    let session = &session;
    let service = service_fn(async |request| Ok::<_, Infallible>(session.answer(&request).await));
    let connection = http1::Builder::new()
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(pid = session.peer.pid, %error, "admin: the connection failed");
            }
            return;
        }
        () = idle_timeout(&mut busy) => {
            tracing::debug!(pid = session.peer.pid, "admin: nothing was asked for too long");
            return;
        }
        request = close_requested => if request.is_err() {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(CLOSE_GRACE, connection).await);
}

/// Waits until no request was answered for too long.
async fn idle_timeout(busy: &mut watch::Receiver<bool>) {
    loop {
        if *busy.borrow_and_update() {
            drop(busy.changed().await);
        } else if timeout(IDLE_TIMEOUT, busy.changed()).await.is_err() {
            return;
        }
    }
}

/// Exists while a request is answered.
struct Busy<'a>(&'a watch::Sender<bool>);

impl<'a> Busy<'a> {
    fn begin(state: &'a watch::Sender<bool>) -> Self {
        state.send_replace(true);
        Self(state)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl Session {
    async fn answer(&self, request: &HttpRequest<Incoming>) -> HttpReply {
        let _busy = Busy::begin(&self.busy);
        let layout = Layout::of(request);
        let replied = self.reply(request, layout).await;
        replied.unwrap_or_else(|refusal| refusal.reply(layout))
    }

    async fn reply(
        &self,
        request: &HttpRequest<Incoming>,
        layout: Layout,
    ) -> Result<HttpReply, HttpError> {
        if !self.is_allowed {
            let error = "only root, the daemon's own user and members of its group may ask";
            return Err(HttpError::new(StatusCode::FORBIDDEN, error));
        }
        let asked = routes::read(request.method(), request.uri())?;
        if request.body().size_hint().upper() != Some(0) {
            let error = "no request has a body: what is asked stands in the path and the query";
            return Err(HttpError::new(StatusCode::BAD_REQUEST, error));
        }
        match asked {
            RouteTarget::Alive => Ok(responses::alive(layout)),
            RouteTarget::Control(command) => self.ask(command, layout).await,
        }
    }

    async fn ask(&self, command: Command, layout: Layout) -> Result<HttpReply, HttpError> {
        let unavailable = |error: &str| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, error);
        let ends = || unavailable("the daemon ends");
        let change = command.change();
        let limit = if change.is_some() || matches!(command, Command::Plan) {
            OPERATION_TIMEOUT
        } else {
            QUERY_TIMEOUT
        };
        if let Some(asks) = change {
            let PeerCredentials { uid, pid, .. } = self.peer;
            tracing::info!(uid, pid, asks, "admin: a change is asked for");
        }
        let (answer, answered) = oneshot::channel();
        let request = Request {
            command,
            peer: self.peer.clone(),
            answer,
        };
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    unavailable("too much is asked at once: try again")
                }
                mpsc::error::TrySendError::Closed(_) => ends(),
            })?;
        match timeout(limit, answered).await {
            Ok(Ok(answer)) => Ok(responses::reply(answer, layout)),
            Ok(Err(_)) => Err(ends()),
            Err(_) => {
                let error = format!("the daemon did not answer within {} s", limit.as_secs());
                Err(HttpError::new(StatusCode::GATEWAY_TIMEOUT, error))
            }
        }
    }
}
