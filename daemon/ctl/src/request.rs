//! One run: a command becomes a request, and the response becomes output.

use std::time::Duration;

use hyper::{Method, StatusCode};
use polyport_api::{Drained, Outcome, Plugins, Refusal, Services, Status, path};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::{Arguments, Command, Format, PluginsCommand};
use crate::client::{self, HttpRequest, HttpResponse};
use crate::exit::Exit;
use crate::show;

const LISTING_TIMEOUT: Duration = Duration::from_secs(10);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);

/// The output of a run and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Text for stdout.
    pub stdout: String,
    /// Text for stderr.
    pub stderr: String,
    /// The exit code.
    pub exit: Exit,
}

/// Sends the request of a command to the daemon.
pub async fn run(arguments: &Arguments) -> Output {
    let request = Request::of(&arguments.command);
    let http = request.http(arguments.timeout);
    match client::send(&arguments.socket(), &http).await {
        Ok(response) => request.output(&response),
        Err(error) => {
            let exit = match error {
                client::Error::Garbled { .. } => Exit::Io,
                client::Error::Unreachable { .. } | client::Error::Late { .. } => Exit::Unavailable,
            };
            Output::error(&error.to_string(), exit)
        }
    }
}

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    method: Method,
    target: String,
    limit: Duration,
    format: Format,
    view: View,
}

/// How the body of a response is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Status,
    Services,
    Plugins,
    Outcome,
    Drained,
    Health,
    Text,
}

/// The body of the health endpoints.
#[derive(Debug, Deserialize)]
struct Health {
    state: String,
}

impl Request {
    fn of(command: &Command) -> Self {
        match command {
            Command::Status(format) => Self::listing(path::STATUS, *format, View::Status),
            Command::Services(format) => Self::listing(path::SERVICES, *format, View::Services),
            Command::Plugins(plugins) => match &plugins.command {
                None => Self::listing(path::PLUGINS, plugins.format, View::Plugins),
                Some(PluginsCommand::List(format)) => {
                    Self::listing(path::PLUGINS, *format, View::Plugins)
                }
                Some(PluginsCommand::Rollback { name, format }) => {
                    let target = [path::ROLLBACK, &encoded(name)].concat();
                    Self::change(target, *format, View::Outcome)
                }
            },
            Command::Plan(format) => Self {
                limit: CHANGE_TIMEOUT,
                ..Self::listing(path::PLAN, *format, View::Outcome)
            },
            Command::Reload { confirm, format } => {
                let mut target = path::RELOAD.to_owned();
                if let Some(time) = confirm {
                    target.extend(["?confirm=", &encoded(time)]);
                }
                Self::change(target, *format, View::Outcome)
            }
            Command::Confirm(format) => {
                Self::change(path::CONFIRM.to_owned(), *format, View::Outcome)
            }
            Command::Drain { name, wait, format } => {
                let mut target = [path::DRAIN, &encoded(name)].concat();
                if *wait {
                    target.push_str("?wait=true");
                }
                Self::change(target, *format, View::Drained)
            }
            Command::Metrics => Self::listing(path::METRICS, Format::default(), View::Text),
            Command::Ready => Self::listing(path::READY, Format::default(), View::Health),
            Command::Live => Self::listing(path::LIVE, Format::default(), View::Health),
        }
    }

    fn listing(target: &str, format: Format, view: View) -> Self {
        Self {
            method: Method::GET,
            target: target.to_owned(),
            limit: LISTING_TIMEOUT,
            format,
            view,
        }
    }

    fn change(target: String, format: Format, view: View) -> Self {
        Self {
            method: Method::POST,
            target,
            limit: CHANGE_TIMEOUT,
            format,
            view,
        }
    }

    fn http(&self, limit: Option<Duration>) -> HttpRequest {
        let mut target = self.target.clone();
        if self.format.json {
            target.push_str(if target.contains('?') {
                "&pretty"
            } else {
                "?pretty"
            });
        }
        HttpRequest {
            method: self.method.clone(),
            target,
            limit: limit.unwrap_or(self.limit),
        }
    }

    fn output(&self, response: &HttpResponse) -> Output {
        let ended = [
            StatusCode::OK,
            StatusCode::CONFLICT,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        if !ended.contains(&response.status) {
            return self.refused(response);
        }
        let output = match self.view {
            View::Status => parsed(response).map(|of: Status| Output::success(show::status(&of))),
            View::Services => {
                parsed(response).map(|of: Services| Output::success(show::services(&of)))
            }
            View::Plugins => {
                parsed(response).map(|of: Plugins| Output::success(show::plugins(&of)))
            }
            View::Outcome => parsed(response).map(|of: Outcome| Output::outcome(&of)),
            View::Drained => parsed(response).map(|of: Drained| Output::drained(&of)),
            View::Health => parsed(response).map(|of: Health| Output::success(of.state + "\n")),
            View::Text => Ok(Output::success(response.body.clone())),
        };
        match output {
            Ok(mut output) => {
                if self.format.json {
                    output.stdout.clone_from(&response.body);
                }
                output
            }
            Err(output) => output,
        }
    }

    /// Output for a request that the daemon did not carry out.
    fn refused(&self, response: &HttpResponse) -> Output {
        let refusal: Refusal = match parsed(response) {
            Ok(refusal) => refusal,
            Err(output) => return output,
        };
        let is_change = self.method == Method::POST;
        let exit = match response.status {
            StatusCode::BAD_REQUEST => Exit::Usage,
            StatusCode::NOT_FOUND if is_change => Exit::Failed,
            StatusCode::SERVICE_UNAVAILABLE if self.target == path::READY => Exit::Failed,
            StatusCode::FORBIDDEN
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Exit::Unavailable,
            _ => Exit::Io,
        };
        let mut text = refusal.error;
        if !refusal.known.is_empty() {
            text.push_str("\n  help: there is ");
            text.push_str(&refusal.known.join(", "));
        }
        Output::error(&text, exit)
    }
}

impl Output {
    fn success(stdout: String) -> Self {
        Self {
            stdout,
            stderr: String::new(),
            exit: Exit::Success,
        }
    }

    fn error(text: &str, exit: Exit) -> Self {
        Self {
            stdout: String::new(),
            stderr: format!("error: {text}\n"),
            exit,
        }
    }

    fn outcome(outcome: &Outcome) -> Self {
        Self {
            stdout: show::outcome(outcome),
            stderr: show::errors(outcome),
            exit: if outcome.verdict.is_success() {
                Exit::Success
            } else {
                Exit::Failed
            },
        }
    }

    fn drained(drained: &Drained) -> Self {
        Self {
            stdout: show::drained(drained),
            ..Self::outcome(&drained.outcome)
        }
    }
}

fn parsed<T: DeserializeOwned>(response: &HttpResponse) -> Result<T, Output> {
    serde_json::from_str(&response.body).map_err(|error| {
        let text = format!(
            "what the daemon says is not understood: {error} ({})\n  help: is it of another version? see `polyportctl \
             --version` and `polyportd --version`",
            response.status
        );
        Output::error(&text, Exit::Io)
    })
}

/// Percent-encodes a part of a path or a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn request_of(line: &str) -> (Method, String, u64) {
        let words = std::iter::once("polyportctl").chain(line.split(' '));
        let arguments = Arguments::try_parse_from(words).unwrap();
        let http = Request::of(&arguments.command).http(arguments.timeout);
        (http.method, http.target, http.limit.as_secs())
    }

    #[test]
    fn each_command_has_its_request() {
        for (line, method, target, limit) in [
            ("status", Method::GET, "/v1/status", 10),
            (
                "status --json --timeout 3s",
                Method::GET,
                "/v1/status?pretty",
                3,
            ),
            ("services", Method::GET, "/v1/services", 10),
            ("plugins", Method::GET, "/v1/plugins", 10),
            ("plugins list", Method::GET, "/v1/plugins", 10),
            (
                "plugins rollback k/v",
                Method::POST,
                "/v1/rollback/k%2Fv",
                120,
            ),
            ("plan", Method::GET, "/v1/plan", 120),
            ("reload", Method::POST, "/v1/reload", 120),
            (
                "reload --confirm 60s",
                Method::POST,
                "/v1/reload?confirm=60s",
                120,
            ),
            (
                "reload --json --confirm a&b",
                Method::POST,
                "/v1/reload?confirm=a%26b&pretty",
                120,
            ),
            ("confirm", Method::POST, "/v1/confirm", 120),
            (
                "drain ü --wait",
                Method::POST,
                "/v1/drain/%C3%BC?wait=true",
                120,
            ),
            ("metrics", Method::GET, "/metrics", 10),
            ("ready --timeout 3s", Method::GET, "/readyz", 3),
            ("live", Method::GET, "/livez", 10),
        ] {
            assert_eq!(
                request_of(line),
                (method, target.to_owned(), limit),
                "{line}"
            );
        }
    }

    fn output(command: &Command, status: u16, body: &str) -> Output {
        Request::of(command).output(&HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned(),
        })
    }

    #[test]
    fn the_exit_code_is_the_verdict() {
        let format = Format { json: true };
        let plan = Command::Plan(format);
        let drain = Command::Drain {
            name: "x".to_owned(),
            wait: false,
            format,
        };
        let failed = r#"{"verdict": "failed", "reason": "no", "new": 1}"#;
        let refused = r#"{"error": "so it is", "known": ["a", "b"]}"#;
        for (command, status, body, exit) in [
            (&plan, 200, r#"{"verdict": "planned"}"#, Exit::Success),
            (&plan, 422, failed, Exit::Failed),
            (&plan, 409, r#"{"verdict": "refused"}"#, Exit::Failed),
            (
                &drain,
                200,
                r#"{"verdict": "applied", "streams": 2}"#,
                Exit::Success,
            ),
            (&drain, 404, refused, Exit::Failed),
            (&plan, 404, refused, Exit::Io),
            (&plan, 400, refused, Exit::Usage),
            (&plan, 403, refused, Exit::Unavailable),
            (&plan, 503, refused, Exit::Unavailable),
            (&plan, 504, refused, Exit::Unavailable),
            (&plan, 500, refused, Exit::Io),
            (&plan, 200, "{}", Exit::Io),
            (&plan, 503, "<html>", Exit::Io),
            (&Command::Ready, 200, r#"{"state": "ready"}"#, Exit::Success),
            (
                &Command::Ready,
                503,
                r#"{"error": "draining"}"#,
                Exit::Failed,
            ),
            (&Command::Live, 200, r#"{"state": "alive"}"#, Exit::Success),
            (&Command::Live, 503, refused, Exit::Unavailable),
            (&Command::Ready, 200, "{}", Exit::Io),
        ] {
            let output = output(command, status, body);
            assert_eq!(output.exit, exit, "{status} {body}: {output:?}");
        }
        let unready = output(&Command::Ready, 503, r#"{"error": "draining"}"#);
        assert_eq!(unready.stderr, "error: draining\n");
        // JSON passes unchanged, with members that this version does not know.
        assert_eq!(output(&plan, 422, failed).stdout, failed);
        let stderr = output(&drain, 404, refused).stderr;
        assert_eq!(stderr, "error: so it is\n  help: there is a, b\n");
    }
}
