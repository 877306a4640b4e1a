//! HTTP responses: answers as JSON, and errors.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use polyport_api::Verdict;
use serde::Serialize;

use crate::control::admin::routes::PRETTY;
use crate::control::admin::{Answer, prometheus};

/// A response.
pub type HttpReply = Response<Full<Bytes>>;

const JSON: &str = "application/json";

/// The layout of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// For people.
    Pretty,
    /// For programs.
    Compact,
}

impl Layout {
    /// The layout for a request: compact if it accepts JSON by name, unless its query has `pretty`.
    pub fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        for part in query.split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key == PRETTY {
                return if value == "false" {
                    Self::Compact
                } else {
                    Self::Pretty
                };
            }
        }
        let takes_json = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(JSON));
        if request.headers().get_all(ACCEPT).iter().any(takes_json) {
            Self::Compact
        } else {
            Self::Pretty
        }
    }
}

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: polyport_api::Refusal,
    /// The methods that the path has.
    pub allow: Option<&'static str>,
}

impl HttpError {
    /// An error in one sentence.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            body: polyport_api::Refusal {
                error: error.into(),
                known: Vec::new(),
            },
            allow: None,
        }
    }

    /// Adds the names that exist.
    pub fn knowing(mut self, known: Vec<String>) -> Self {
        self.body.known = known;
        self
    }

    /// Adds the methods that the path has.
    pub fn allowing(self, methods: &'static str) -> Self {
        Self {
            allow: Some(methods),
            ..self
        }
    }

    /// The response.
    pub fn reply(&self, layout: Layout) -> HttpReply {
        let mut reply = json(self.status, &self.body, layout);
        if let Some(methods) = self.allow {
            let methods = HeaderValue::from_static(methods);
            reply.headers_mut().insert(ALLOW, methods);
        }
        if self.status == StatusCode::FORBIDDEN {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        reply
    }
}

/// The response of the liveness probe.
pub fn alive(layout: Layout) -> HttpReply {
    json(StatusCode::OK, &state("alive"), layout)
}

/// The response for an answer.
pub fn reply(answer: Answer, layout: Layout) -> HttpReply {
    match answer {
        Answer::Status(status) => json(StatusCode::OK, &status, layout),
        Answer::Services(services) => json(StatusCode::OK, &services, layout),
        Answer::Plugins(plugins) => json(StatusCode::OK, &plugins, layout),
        Answer::Metrics(metrics) => {
            respond(StatusCode::OK, prometheus::CONTENT_TYPE, metrics.text())
        }
        Answer::Ready(Ok(())) => json(StatusCode::OK, &state("ready"), layout),
        Answer::Ready(Err(reason)) => {
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, reason).reply(layout)
        }
        Answer::Outcome(outcome) => json(status(outcome.verdict), &outcome, layout),
        Answer::Drained(drained) => json(status(drained.outcome.verdict), &drained, layout),
        Answer::Unknown { reason, known } => HttpError::new(StatusCode::NOT_FOUND, reason)
            .knowing(known)
            .reply(layout),
    }
}

fn status(verdict: Verdict) -> StatusCode {
    match verdict {
        Verdict::Applied | Verdict::Unchanged | Verdict::Planned => StatusCode::OK,
        Verdict::Failed => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::Refused => StatusCode::CONFLICT,
    }
}

fn state(word: &'static str) -> impl Serialize {
    #[derive(Serialize)]
    struct State {
        state: &'static str,
    }
    State { state: word }
}

fn json(status: StatusCode, body: &impl Serialize, layout: Layout) -> HttpReply {
    let text = match layout {
        Layout::Pretty => serde_json::to_string_pretty(body),
        Layout::Compact => serde_json::to_string(body),
    };
    match text {
        Ok(mut text) => {
            text.push('\n');
            respond(status, JSON, text)
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let text = "{\"error\": \"the answer cannot be written as JSON\"}\n";
            respond(status, JSON, text.to_owned())
        }
    }
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> HttpReply {
    let mut reply = HttpReply::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(uri: &str, accept: &str) -> Layout {
        Layout::of(
            &Request::builder()
                .uri(uri)
                .header(ACCEPT, accept)
                .body(())
                .unwrap(),
        )
    }

    #[test]
    fn responses_are_pretty_for_people_and_compact_for_programs() {
        assert_eq!(layout("/v1/status", "*/*"), Layout::Pretty);
        assert_eq!(layout("/v1/status", "application/json"), Layout::Compact);
        assert_eq!(
            layout("/v1/status?pretty", "application/json"),
            Layout::Pretty
        );
        assert_eq!(
            layout("/v1/status?a=1&pretty=false", "*/*"),
            Layout::Compact
        );
    }

    #[test]
    fn responses_have_the_status_of_the_verdict() {
        for (verdict, code) in [
            (Verdict::Applied, 200),
            (Verdict::Unchanged, 200),
            (Verdict::Planned, 200),
            (Verdict::Failed, 422),
            (Verdict::Refused, 409),
        ] {
            assert_eq!(status(verdict).as_u16(), code);
        }
        let unknown = Answer::Unknown {
            reason: "there is no plugin \"x\"".to_owned(),
            known: vec!["kv".to_owned()],
        };
        assert_eq!(reply(unknown, Layout::Pretty).status().as_u16(), 404);
        let starting = Answer::Ready(Err("it starts".to_owned()));
        assert_eq!(reply(starting, Layout::Pretty).status().as_u16(), 503);
    }
}
