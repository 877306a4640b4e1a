//! The configuration of a handler: JSON text becomes a type of the author's, and each finding gets
//! its position.

use std::fmt;

use polyport_abi::{PP_REPORT_ERROR, PP_REPORT_WARNING, PpReport};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::raw::lend;
use crate::status::{Error, Result, Status};

/// The configuration of a handler without settings: only the empty map is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Receives findings about the configuration or the state, for the operator, with their position in
/// the file.
#[derive(Debug)]
pub struct Report<'a> {
    raw: Option<&'a mut PpReport>,
    errors: usize,
}

impl<'a> Report<'a> {
    /// Reports an error. `pointer` is a JSON pointer (RFC 6901) into the configuration; `""` is the
    /// whole. `[any]`
    pub fn error(&mut self, pointer: &str, message: impl fmt::Display) {
        self.errors += 1;
        self.add(PP_REPORT_ERROR, pointer, &message.to_string());
    }

    /// Reports a warning. `[any]`
    pub fn warning(&mut self, pointer: &str, message: impl fmt::Display) {
        self.add(PP_REPORT_WARNING, pointer, &message.to_string());
    }

    /// # Safety
    ///
    /// `raw` is null or a report that is valid and exclusive during `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut PpReport) -> Self {
        // SAFETY: the caller's condition.
        let raw = unsafe { raw.as_mut() };
        Self { raw, errors: 0 }
    }

    /// An error if errors were reported.
    pub(crate) fn verdict(&self) -> Result<()> {
        if self.errors == 0 {
            Ok(())
        } else {
            Err(Status::FAIL.into())
        }
    }

    fn add(&mut self, severity: u32, pointer: &str, message: &str) {
        let Some(raw) = self.raw.as_deref_mut() else {
            return;
        };
        let (pointer, message) = (lend(pointer.as_bytes()), lend(message.as_bytes()));
        let add = raw.add;
        // SAFETY: the report is valid (see `from_raw`), and both texts live until the call returns.
        unsafe { add(raw, severity, &raw const pointer, &raw const message) }
    }
}

/// Reads a configuration; errors are reported with their JSON pointer.
pub(crate) fn read<C: DeserializeOwned>(json: &[u8], report: &mut Report<'_>) -> Result<C> {
    // A missing configuration is the empty one.
    let json = if matches!(json.trim_ascii(), b"" | b"null") {
        b"{}"
    } else {
        json
    };
    let mut text = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut text).map_err(|error| {
        report.error(&pointer(error.path()), Bare(error.inner()));
        Error::from(Status::FAIL)
    })
}

/// The schema text of a configuration for the table.
pub(crate) fn schema<C: JsonSchema>() -> String {
    schemars::schema_for!(C).as_value().to_string()
}

/// A path as RFC 6901 writes it.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => push_escaped(&mut pointer, key),
            Segment::Enum { variant } => push_escaped(&mut pointer, variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

fn push_escaped(pointer: &mut String, key: &str) {
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// The message without line and column: the operator never saw that JSON text.
struct Bare<'a>(&'a serde_json::Error);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let place = format!(" at line {} column {}", self.0.line(), self.0.column());
        f.write_str(text.strip_suffix(&place).unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_abi::PpSlice;
    use std::ffi::c_void;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only read by serde")]
    struct Sample {
        #[serde(default)]
        upstreams: Vec<Upstream>,
        #[serde(default)]
        by_name: std::collections::BTreeMap<String, Upstream>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Upstream {
        port: u16,
    }

    unsafe extern "C" fn add(
        report: *mut PpReport,
        severity: u32,
        pointer: *const PpSlice,
        message: *const PpSlice,
    ) {
        // SAFETY: called by `Report` below with live slices; `ctx` is the vector of `findings`.
        unsafe {
            let seen = &mut *(*report).ctx.cast::<Vec<String>>();
            let text = |slice: *const PpSlice| crate::raw::borrow_text(*slice);
            seen.push(format!("{severity} {} {}", text(pointer), text(message)));
        }
    }

    fn findings(json: &str) -> Vec<String> {
        let mut seen = Vec::<String>::new();
        let mut raw = PpReport {
            ctx: (&raw mut seen).cast::<c_void>(),
            add,
        };
        // SAFETY: `raw` lives here and is used by nobody else.
        let mut report = unsafe { Report::from_raw(&raw mut raw) };
        let read: Result<Sample> = read(json.as_bytes(), &mut report);
        assert_eq!(read.is_ok(), report.verdict().is_ok());
        seen
    }

    #[test]
    fn config_findings_have_pointers() {
        let wrong_type = r#"{"upstreams": [{"port": 1}, {"port": "x"}]}"#;
        assert_eq!(
            findings(wrong_type),
            [r#"1 /upstreams/1/port invalid type: string "x", expected u16"#]
        );
        let odd_key = r#"{"by-name": {"a/b~c": {"port": -1}}}"#;
        assert_eq!(
            findings(odd_key),
            ["1 /by-name/a~1b~0c/port invalid value: integer `-1`, expected u16"]
        );
        assert_eq!(
            findings(r#"{"upstream": []}"#),
            ["1 /upstream unknown field `upstream`, expected `upstreams` or `by-name`"]
        );
    }

    #[test]
    fn config_defaults_to_the_empty_map() {
        for json in ["", "null", " {} "] {
            assert_eq!(findings(json), Vec::<String>::new());
        }
        assert!(schema::<NoConfig>().contains("\"additionalProperties\":false"));
    }
}
