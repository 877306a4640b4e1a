//! One run: from what is wanted to a question, and from the answer to what is printed.

use std::time::Duration;

use hyper::{Method, StatusCode};
use polyport_api::{Drained, Outcome, Plugins, Refusal, Services, Status, path};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::{Arguments, Command, Format, PluginsCommand};
use crate::client::{self, Answer, Question};
use crate::exit::Exit;
use crate::show;

const LISTING: Duration = Duration::from_secs(10);
const CHANGE: Duration = Duration::from_secs(120);

/// What is to be printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// For stdout.
    pub output: String,
    /// For stderr.
    pub complaint: String,
    /// How it ended.
    pub exit: Exit,
}

/// Asks the daemon what is wanted.
pub async fn run(arguments: &Arguments) -> Report {
    let errand = Errand::of(&arguments.command);
    let question = errand.question(arguments.timeout);
    match client::ask(&arguments.socket(), &question).await {
        Ok(answer) => errand.report(&answer),
        Err(fault) => {
            let exit = match fault {
                client::Fault::Garbled { .. } => Exit::Trouble,
                client::Fault::Unreachable { .. } | client::Fault::Late { .. } => Exit::Unavailable,
            };
            Report::error(&fault.to_string(), exit)
        }
    }
}

/// Something that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Errand {
    method: Method,
    target: String,
    limit: Duration,
    format: Format,
    shows: Shows,
}

/// What the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Status,
    Services,
    Plugins,
    Outcome,
    Drained,
    Health,
    Text,
}

/// What is said of health: one word.
#[derive(Debug, Deserialize)]
struct Health {
    state: String,
}

impl Errand {
    fn of(command: &Command) -> Self {
        match command {
            Command::Status(format) => Self::listing(path::STATUS, *format, Shows::Status),
            Command::Services(format) => Self::listing(path::SERVICES, *format, Shows::Services),
            Command::Plugins(plugins) => match &plugins.command {
                None => Self::listing(path::PLUGINS, plugins.format, Shows::Plugins),
                Some(PluginsCommand::List(format)) => {
                    Self::listing(path::PLUGINS, *format, Shows::Plugins)
                }
                Some(PluginsCommand::Rollback { name, format }) => {
                    let target = [path::ROLLBACK, &encoded(name)].concat();
                    Self::change(target, *format, Shows::Outcome)
                }
            },
            Command::Plan(format) => Self {
                limit: CHANGE,
                ..Self::listing(path::PLAN, *format, Shows::Outcome)
            },
            Command::Reload { confirm, format } => {
                let mut target = path::RELOAD.to_owned();
                if let Some(time) = confirm {
                    target.extend(["?confirm=", &encoded(time)]);
                }
                Self::change(target, *format, Shows::Outcome)
            }
            Command::Confirm(format) => {
                Self::change(path::CONFIRM.to_owned(), *format, Shows::Outcome)
            }
            Command::Drain { name, wait, format } => {
                let mut target = [path::DRAIN, &encoded(name)].concat();
                if *wait {
                    target.push_str("?wait=true");
                }
                Self::change(target, *format, Shows::Drained)
            }
            Command::Metrics => Self::listing(path::METRICS, Format::default(), Shows::Text),
            Command::Ready => Self::listing(path::READY, Format::default(), Shows::Health),
            Command::Live => Self::listing(path::LIVE, Format::default(), Shows::Health),
        }
    }

    fn listing(target: &str, format: Format, shows: Shows) -> Self {
        Self {
            method: Method::GET,
            target: target.to_owned(),
            limit: LISTING,
            format,
            shows,
        }
    }

    fn change(target: String, format: Format, shows: Shows) -> Self {
        Self {
            method: Method::POST,
            target,
            limit: CHANGE,
            format,
            shows,
        }
    }

    fn question(&self, limit: Option<Duration>) -> Question {
        let mut target = self.target.clone();
        if self.format.json {
            target.push_str(if target.contains('?') {
                "&pretty"
            } else {
                "?pretty"
            });
        }
        Question {
            method: self.method.clone(),
            target,
            limit: limit.unwrap_or(self.limit),
        }
    }

    fn report(&self, answer: &Answer) -> Report {
        let ended = [
            StatusCode::OK,
            StatusCode::CONFLICT,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        if !ended.contains(&answer.status) {
            return self.refused(answer);
        }
        let shown = match self.shows {
            Shows::Status => parsed(answer).map(|of: Status| Report::good(show::status(&of))),
            Shows::Services => parsed(answer).map(|of: Services| Report::good(show::services(&of))),
            Shows::Plugins => parsed(answer).map(|of: Plugins| Report::good(show::plugins(&of))),
            Shows::Outcome => parsed(answer).map(|of: Outcome| Report::outcome(&of)),
            Shows::Drained => parsed(answer).map(|of: Drained| Report::drained(&of)),
            Shows::Health => parsed(answer).map(|of: Health| Report::good(of.state + "\n")),
            Shows::Text => Ok(Report::good(answer.body.clone())),
        };
        match shown {
            Ok(mut report) => {
                if self.format.json {
                    report.output.clone_from(&answer.body);
                }
                report
            }
            Err(report) => report,
        }
    }

    /// Why the daemon did not even begin.
    fn refused(&self, answer: &Answer) -> Report {
        let refusal: Refusal = match parsed(answer) {
            Ok(refusal) => refusal,
            Err(report) => return report,
        };
        let is_change = self.method == Method::POST;
        let exit = match answer.status {
            StatusCode::BAD_REQUEST => Exit::Usage,
            StatusCode::NOT_FOUND if is_change => Exit::Failed,
            StatusCode::SERVICE_UNAVAILABLE if self.target == path::READY => Exit::Failed,
            StatusCode::FORBIDDEN
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Exit::Unavailable,
            _ => Exit::Trouble,
        };
        let mut text = refusal.error;
        if !refusal.known.is_empty() {
            text.push_str("\n  help: there is ");
            text.push_str(&refusal.known.join(", "));
        }
        Report::error(&text, exit)
    }
}

impl Report {
    fn good(output: String) -> Self {
        Self {
            output,
            complaint: String::new(),
            exit: Exit::Good,
        }
    }

    fn error(text: &str, exit: Exit) -> Self {
        Self {
            output: String::new(),
            complaint: format!("error: {text}\n"),
            exit,
        }
    }

    fn outcome(outcome: &Outcome) -> Self {
        Self {
            output: show::outcome(outcome),
            complaint: show::complaint(outcome),
            exit: if outcome.verdict.is_good() {
                Exit::Good
            } else {
                Exit::Failed
            },
        }
    }

    fn drained(drained: &Drained) -> Self {
        Self {
            output: show::drained(drained),
            ..Self::outcome(&drained.outcome)
        }
    }
}

fn parsed<T: DeserializeOwned>(answer: &Answer) -> Result<T, Report> {
    serde_json::from_str(&answer.body).map_err(|error| {
        let text = format!(
            "what the daemon says is not understood: {error} ({})\n  help: is it of another version? see `polyportctl \
             --version` and `polyportd --version`",
            answer.status
        );
        Report::error(&text, Exit::Trouble)
    })
}

/// A text as a part of a path or a query.
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

    fn asked(line: &str) -> (Method, String, u64) {
        let words = std::iter::once("polyportctl").chain(line.split(' '));
        let arguments = Arguments::try_parse_from(words).unwrap();
        let question = Errand::of(&arguments.command).question(arguments.timeout);
        (question.method, question.target, question.limit.as_secs())
    }

    #[test]
    fn each_wish_has_its_question() {
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
            assert_eq!(asked(line), (method, target.to_owned(), limit), "{line}");
        }
    }

    fn report(command: &Command, status: u16, body: &str) -> Report {
        Errand::of(command).report(&Answer {
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
            (&plan, 200, r#"{"verdict": "planned"}"#, Exit::Good),
            (&plan, 422, failed, Exit::Failed),
            (&plan, 409, r#"{"verdict": "refused"}"#, Exit::Failed),
            (
                &drain,
                200,
                r#"{"verdict": "applied", "streams": 2}"#,
                Exit::Good,
            ),
            (&drain, 404, refused, Exit::Failed),
            (&plan, 404, refused, Exit::Trouble),
            (&plan, 400, refused, Exit::Usage),
            (&plan, 403, refused, Exit::Unavailable),
            (&plan, 503, refused, Exit::Unavailable),
            (&plan, 504, refused, Exit::Unavailable),
            (&plan, 500, refused, Exit::Trouble),
            (&plan, 200, "{}", Exit::Trouble),
            (&plan, 503, "<html>", Exit::Trouble),
            (&Command::Ready, 200, r#"{"state": "ready"}"#, Exit::Good),
            (
                &Command::Ready,
                503,
                r#"{"error": "draining"}"#,
                Exit::Failed,
            ),
            (&Command::Live, 200, r#"{"state": "alive"}"#, Exit::Good),
            (&Command::Live, 503, refused, Exit::Unavailable),
            (&Command::Ready, 200, "{}", Exit::Trouble),
        ] {
            let report = report(command, status, body);
            assert_eq!(report.exit, exit, "{status} {body}: {report:?}");
        }
        let unready = report(&Command::Ready, 503, r#"{"error": "draining"}"#);
        assert_eq!(unready.complaint, "error: draining\n");
        // JSON goes through as it is, with what this version does not know.
        assert_eq!(report(&plan, 422, failed).output, failed);
        let complaint = report(&drain, 404, refused).complaint;
        assert_eq!(complaint, "error: so it is\n  help: there is a, b\n");
    }
}
