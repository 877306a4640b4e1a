//! Findings: what a handler says about its configuration or its state.

use std::ffi::c_void;

use polyport_abi::{PP_REPORT_ERROR, PpReport, PpSlice};

use crate::claim;

/// Most findings that are kept of one call.
const FINDINGS_MAX: usize = 100;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Does it forbid the use of the configuration?
    pub error: bool,
    /// JSON pointer into the handler's configuration; empty for the whole.
    pub pointer: String,
    /// For the operator.
    pub message: String,
}

/// Calls `ask` with a report table, and returns what was added to it.
pub(crate) fn collect<R>(ask: impl FnOnce(*mut PpReport) -> R) -> (R, Vec<Finding>) {
    let mut findings: Vec<Finding> = Vec::new();
    let mut table = PpReport {
        ctx: (&raw mut findings).cast::<c_void>(),
        add,
    };
    let result = ask(&raw mut table);
    (result, findings)
}

unsafe extern "C" fn add(
    report: *mut PpReport,
    severity: u32,
    pointer: *const PpSlice,
    message: *const PpSlice,
) {
    // SAFETY: the plugin got the report from `collect` and passes it back within that call, so both the table and
    // the list behind `ctx` are alive; `collect` does not touch the list while it waits for `ask`.
    let Some(findings) = (unsafe {
        report
            .as_mut()
            .and_then(|table| table.ctx.cast::<Vec<Finding>>().as_mut())
    }) else {
        return;
    };
    if findings.len() < FINDINGS_MAX {
        findings.push(Finding {
            error: severity == PP_REPORT_ERROR,
            // SAFETY: slices that the plugin lends for this call, by the header's rule R2.
            pointer: unsafe { claim::text_at(pointer) },
            // SAFETY: as for the pointer, a slice lent for this call.
            message: unsafe { claim::text_at(message) },
        });
    }
}
