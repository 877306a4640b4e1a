//! Findings: faults that a handler reports in its configuration or state.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use polyport_abi::{PP_REPORT_ERROR, PpReport, PpSlice};
use serde::{Deserialize, Serialize};

use crate::raw_args;

/// Most findings of one call; later ones are dropped.
const FINDINGS_MAX: usize = 100;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Does it forbid the use of the configuration?
    pub error: bool,
    /// JSON pointer into the handler's configuration; empty for the whole.
    pub pointer: String,
    /// Text for the operator.
    pub message: String,
}

/// Calls `ask` with a report table. Returns the findings that any thread added to it meanwhile.
pub(crate) fn collect<R>(ask: impl FnOnce(*mut PpReport) -> R) -> (R, Vec<Finding>) {
    let findings: Mutex<Vec<Finding>> = Mutex::default();
    let mut table = PpReport {
        ctx: (&raw const findings).cast_mut().cast::<c_void>(),
        add,
    };
    let result = ask(&raw mut table);
    let findings = findings.into_inner();
    (result, findings.unwrap_or_else(PoisonError::into_inner))
}

unsafe extern "C" fn add(
    report: *mut PpReport,
    severity: u32,
    pointer: *const PpSlice,
    message: *const PpSlice,
) {
    // SAFETY: the plugin got the report from `collect` and passes it back within that call, so both the table and
    // the mutex behind `ctx` are alive; other threads of the plugin only share them, too.
    let Some(findings) = (unsafe {
        report
            .as_ref()
            .and_then(|table| table.ctx.cast::<Mutex<Vec<Finding>>>().as_ref())
    }) else {
        return;
    };
    let finding = Finding {
        error: severity == PP_REPORT_ERROR,
        // SAFETY: slices that the plugin lends for this call, by the header's rule R2.
        pointer: unsafe { raw_args::text_at(pointer) },
        // SAFETY: as for the pointer, a slice lent for this call.
        message: unsafe { raw_args::text_at(message) },
    };
    let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    if findings.len() < FINDINGS_MAX {
        findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::slice;

    #[test]
    fn report_takes_findings_from_several_threads_at_once() {
        fn add_some(report: usize) {
            let (pointer, message) = (slice("/a"), slice("no"));
            let (pointer, message) = (&raw const pointer, &raw const message);
            for _ in 0..FINDINGS_MAX / 4 {
                // SAFETY: `collect` waits for this thread.
                unsafe { add(report as *mut PpReport, PP_REPORT_ERROR, pointer, message) };
            }
        }
        let ((), findings) = collect(|report| {
            let report = report as usize;
            let all: Vec<_> = (0..4)
                .map(|_| std::thread::spawn(move || add_some(report)))
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        assert_eq!(findings.len(), FINDINGS_MAX);
        assert!(
            findings
                .iter()
                .all(|one| one.error && one.pointer == "/a" && one.message == "no")
        );
    }
}
