//! The routes: from method, path and query to a command.

use std::time::Duration;

use hyper::{Method, StatusCode, Uri};
use polyport_api::path;
use polyport_config::units;

use crate::control::admin::Command;
use crate::control::admin::responses::HttpError;

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// The liveness probe: any response will do.
    Alive,
    /// A request to the supervisor.
    Control(Command),
}

/// A query key of every path: JSON for people.
pub const PRETTY: &str = "pretty";

struct Route {
    path: &'static str,
    /// The path is followed by a name of this kind.
    named: Option<&'static str>,
    is_change: bool,
    /// Allowed keys of the query.
    keys: &'static [&'static str],
    target: fn(Params) -> Result<RouteTarget, HttpError>,
}

/// The parameters of a request.
struct Params {
    name: String,
    query: Vec<(String, String)>,
}

const ROUTES: &[Route] = &[
    Route::listing(path::STATUS, |_| Ok(RouteTarget::Control(Command::Status))),
    Route::listing(path::SERVICES, |_| {
        Ok(RouteTarget::Control(Command::Services))
    }),
    Route::listing(path::PLUGINS, |_| {
        Ok(RouteTarget::Control(Command::Plugins))
    }),
    Route::listing(path::PLAN, |_| Ok(RouteTarget::Control(Command::Plan))),
    Route::change(path::RELOAD, None, &["confirm"], |given| {
        let confirm = given.duration("confirm")?;
        Ok(RouteTarget::Control(Command::Reload { confirm }))
    }),
    Route::change(path::CONFIRM, None, &[], |_| {
        Ok(RouteTarget::Control(Command::Confirm))
    }),
    Route::change(path::DRAIN, Some("NAME"), &["wait"], |given| {
        let wait = given.flag("wait")?;
        let name = given.name;
        Ok(RouteTarget::Control(Command::Drain { name, wait }))
    }),
    Route::change(path::ROLLBACK, Some("PLUGIN"), &[], |given| {
        let plugin = given.name;
        Ok(RouteTarget::Control(Command::Rollback { plugin }))
    }),
    Route::listing(path::METRICS, |_| {
        Ok(RouteTarget::Control(Command::Metrics))
    }),
    Route::listing(path::LIVE, |_| Ok(RouteTarget::Alive)),
    Route::listing(path::READY, |_| Ok(RouteTarget::Control(Command::Ready))),
];

/// Finds the route of a request, and parses its parameters.
///
/// # Errors
/// The error response: no such path, another method, or an invalid query.
pub fn read(method: &Method, uri: &Uri) -> Result<RouteTarget, HttpError> {
    let found = ROUTES
        .iter()
        .find_map(|route| Some((route, route.rest(uri.path())?)));
    let Some((route, name)) = found else {
        let known = ROUTES.iter().map(Route::text).collect();
        let error = format!("there is no path {}", uri.path());
        return Err(HttpError::new(StatusCode::NOT_FOUND, error).knowing(known));
    };
    if !route.takes(method) {
        let error = format!("{method} is not for this path: {}", route.text());
        let refusal = HttpError::new(StatusCode::METHOD_NOT_ALLOWED, error);
        return Err(refusal.allowing(if route.is_change { "POST" } else { "GET, HEAD" }));
    }
    (route.target)(Params {
        name: decode(name)?,
        query: query(uri.query().unwrap_or_default(), route)?,
    })
}

impl Route {
    const fn listing(
        path: &'static str,
        target: fn(Params) -> Result<RouteTarget, HttpError>,
    ) -> Self {
        Self {
            path,
            named: None,
            is_change: false,
            keys: &[],
            target,
        }
    }

    const fn change(
        path: &'static str,
        named: Option<&'static str>,
        keys: &'static [&'static str],
        target: fn(Params) -> Result<RouteTarget, HttpError>,
    ) -> Self {
        Self {
            path,
            named,
            is_change: true,
            keys,
            target,
        }
    }

    /// What follows the path of this route; `None` if the path is another one.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.path)?;
        let fits = match self.named {
            Some(_) => !rest.is_empty() && !rest.contains('/'),
            None => rest.is_empty(),
        };
        fits.then_some(rest)
    }

    fn takes(&self, method: &Method) -> bool {
        if self.is_change {
            method == Method::POST
        } else {
            method == Method::GET || method == Method::HEAD
        }
    }

    /// For people: `POST /v1/drain/NAME`.
    fn text(&self) -> String {
        let method = if self.is_change { "POST" } else { "GET" };
        format!("{method} {}{}", self.path, self.named.unwrap_or_default())
    }
}

impl Params {
    fn value(&self, key: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(name, _)| name == key);
        found.next_back().map(|(_, value)| value.as_str())
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, HttpError> {
        let Some(text) = self.value(key) else {
            return Ok(None);
        };
        match units::duration(text) {
            Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
            Ok(_) => Err(bad(format!("{key}: it must be longer than nothing"))),
            Err(error) => {
                let units::UnitError { message, help } = error;
                Err(bad(format!("{key}: `{text}` {message}; {help}")))
            }
        }
    }

    fn flag(&self, key: &str) -> Result<bool, HttpError> {
        match self.value(key) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(bad(format!("{key}: `{other}` is neither true nor false"))),
        }
    }
}

/// The keys and values of a query. An unknown key is an error, because it may be a misspelt one.
fn query(text: &str, route: &Route) -> Result<Vec<(String, String)>, HttpError> {
    let mut read = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let key = decode(key)?;
        if key != PRETTY && !route.keys.contains(&key.as_str()) {
            let known = [route.keys, &[PRETTY]].concat().join(", ");
            let error = format!("`{key}` is no key of this query; there is: {known}");
            return Err(bad(error));
        }
        read.push((key, decode(value)?));
    }
    Ok(read)
}

/// Decodes `%2F` and the like.
fn decode(text: &str) -> Result<String, HttpError> {
    let wrong = || bad(format!("`{text}` is not encoded as a URL's part"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |of: u8| char::from(of).to_digit(16);
                let value = digit(*high)
                    .zip(digit(*low))
                    .map(|(high, low)| high * 16 + low);
                let byte = value.and_then(|value| u8::try_from(value).ok());
                (byte.ok_or_else(wrong)?, after)
            }
            (b'%', _) => return Err(wrong()),
            (plain, after) => (*plain, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn bad(error: String) -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(line: &str) -> Result<RouteTarget, (u16, String)> {
        let (method, uri) = line.split_once(' ').unwrap();
        let uri: Uri = uri.parse().unwrap();
        read(&method.parse().unwrap(), &uri)
            .map_err(|refusal| (refusal.status.as_u16(), refusal.body.error))
    }

    #[test]
    fn routes_lead_to_their_commands() {
        let drain = |name: &str, wait| Command::Drain {
            name: name.to_owned(),
            wait,
        };
        for (line, command) in [
            ("GET /v1/status", Command::Status),
            ("HEAD /v1/status?pretty", Command::Status),
            ("GET http://polyport/v1/services", Command::Services),
            ("GET /v1/plugins", Command::Plugins),
            ("GET /v1/plan", Command::Plan),
            ("GET /metrics", Command::Metrics),
            ("GET /readyz", Command::Ready),
            ("POST /v1/reload", Command::Reload { confirm: None }),
            (
                "POST /v1/reload?confirm=90s",
                Command::Reload {
                    confirm: Some(Duration::from_secs(90)),
                },
            ),
            ("POST /v1/confirm", Command::Confirm),
            ("POST /v1/drain/kv", drain("kv", false)),
            (
                "POST /v1/drain/k%2Fv%20%C3%BC?wait=true",
                drain("k/v ü", true),
            ),
            ("POST /v1/drain/kv?wait&pretty=true", drain("kv", true)),
            (
                "POST /v1/rollback/kv",
                Command::Rollback {
                    plugin: "kv".to_owned(),
                },
            ),
        ] {
            assert_eq!(route(line), Ok(RouteTarget::Control(command)), "{line}");
        }
        assert_eq!(route("GET /livez"), Ok(RouteTarget::Alive));
    }

    #[test]
    fn routes_name_what_is_invalid() {
        for (line, status, response_to) in [
            ("GET /", 404, "there is no path /"),
            ("GET /v1/status/", 404, "/v1/status/"),
            ("GET /v1/streams", 404, "/v1/streams"),
            ("POST /v1/drain/", 404, "/v1/drain/"),
            ("POST /v1/drain/a/b", 404, "/v1/drain/a/b"),
            ("POST /v1/status", 405, "GET /v1/status"),
            ("GET /v1/reload", 405, "POST /v1/reload"),
            ("HEAD /v1/drain/kv", 405, "POST /v1/drain/NAME"),
            ("POST /v1/reload?confrim=60s", 400, "`confrim` is no key"),
            ("POST /v1/reload?confirm=0s", 400, "confirm: "),
            ("POST /v1/reload?confirm=soon", 400, "confirm: "),
            (
                "POST /v1/drain/kv?wait=maybe",
                400,
                "neither true nor false",
            ),
            ("POST /v1/drain/%ff", 400, "%ff"),
            ("POST /v1/drain/%f", 400, "%f"),
            ("POST /v1/drain/%+f", 400, "%+f"),
        ] {
            let (found, error) = route(line).unwrap_err();
            assert_eq!(found, status, "{line}: {error}");
            assert!(error.contains(response_to), "{line}: {error}");
        }
    }

    #[test]
    fn routes_are_listed_for_an_unknown_path() {
        let refusal = read(&Method::GET, &Uri::from_static("/v2/status")).unwrap_err();
        assert_eq!(refusal.body.known.len(), ROUTES.len());
        assert!(
            refusal
                .body
                .known
                .contains(&"POST /v1/drain/NAME".to_owned())
        );
        let refusal = read(&Method::PUT, &Uri::from_static("/v1/plan")).unwrap_err();
        assert_eq!(refusal.allow, Some("GET, HEAD"));
    }
}
