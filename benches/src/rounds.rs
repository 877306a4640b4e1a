//! The order of a run: case by case, round by round, server by server, each in a fresh process.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cases::{Case, Figure, Shape, named};
use crate::cli::BenchOptions;
use crate::meter::Outcome;
use crate::pinning::Side;
use crate::servers::{Contender, Lab, Server};

const WARMUP: Duration = Duration::from_millis(400);
/// Connecting 10 000 streams and settling takes a few seconds; this is far more.
const LOAD_SPARE: Duration = Duration::from_secs(60);
/// The share of the reference's full rate that a paced case offers to every server.
const PACE: f64 = 0.70;
/// The case that measures the full rate.
const FULL_RATE: &str = "tcp64";

/// Everything that a run found.
#[derive(Debug)]
pub(crate) struct Results {
    /// In the order of the table.
    pub(crate) cases: Vec<CaseResult>,
    /// Where the processes ran.
    pub(crate) placement: String,
}

/// All servers in one case.
#[derive(Debug)]
pub(crate) struct CaseResult {
    /// The case.
    pub(crate) case: Case,
    /// The servers, the reference first; none if the case was left out.
    pub(crate) series: Vec<Series>,
    /// Why the case was left out.
    pub(crate) left_out: Option<String>,
}

/// What one server did in one case.
#[derive(Debug)]
pub(crate) struct Series {
    /// The server.
    pub(crate) contender: Contender,
    /// One for each round, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// What went wrong; the server takes no further part in the case.
    pub(crate) fault: Option<String>,
}

/// Measures all cases.
pub(crate) async fn run(cases: Vec<Case>, options: &BenchOptions) -> Result<Results> {
    let lab = Lab::open(options)?;
    let mut results = Results {
        cases: Vec::new(),
        placement: lab.pinning.describe(),
    };
    for case in cases {
        write!(std::io::stderr(), "{:9}", case.name)?;
        results.cases.push(measure(&lab, case, options).await?);
        writeln!(std::io::stderr())?;
    }
    Ok(results)
}

async fn measure(lab: &Lab, case: Case, options: &BenchOptions) -> Result<CaseResult> {
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if limit < case.descriptors() {
        let left_out = format!("needs {} descriptors, {limit} allowed", case.descriptors());
        return Ok(CaseResult {
            case,
            series: Vec::new(),
            left_out: Some(left_out),
        });
    }
    let rate = match case.shape {
        Shape::Busy(polyport_load::Shape::Paced { .. }) => {
            PACE * full_rate(lab, case.reference, options).await?
        }
        _ => 0.0,
    };
    let fresh = |contender| Series {
        contender,
        outcomes: Vec::new(),
        fault: None,
    };
    let mut series: Vec<Series> = lab.contenders(&case).into_iter().map(fresh).collect();
    for round in 0..options.rounds {
        // Every other round goes backwards, so that no server is always behind the same one.
        let mut order: Vec<&mut Series> = series.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for one in order.into_iter().filter(|one| one.fault.is_none()) {
            match visit(lab, one.contender, &case, options, rate).await {
                Ok(outcome) => one.outcomes.push(outcome),
                Err(fault) => one.fault = Some(format!("{fault:#}")),
            }
            write!(std::io::stderr(), ".")?;
        }
    }
    Ok(CaseResult {
        case,
        series,
        left_out: None,
    })
}

/// Operations a second of the reference, as fast as it goes.
async fn full_rate(lab: &Lab, reference: Contender, options: &BenchOptions) -> Result<f64> {
    let outcome = visit(lab, reference, &named(FULL_RATE)?, options, 0.0).await?;
    Ok(outcome.operations as f64 / outcome.wall_us * 1e6)
}

/// One server, one case, one round.
async fn visit(
    lab: &Lab,
    contender: Contender,
    case: &Case,
    options: &BenchOptions,
    rate: f64,
) -> Result<Outcome> {
    let server = lab.start(contender, case.is_udp()).await?;
    let outcome = load(lab, &server, case, options.seconds, rate).await?;
    server.stop().await?;
    ensure!(outcome.operations > 0, "nothing was measured");
    Ok(outcome)
}

async fn load(
    lab: &Lab,
    server: &Server,
    case: &Case,
    measure: Duration,
    rate: f64,
) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "load",
        "--case",
        case.name,
        "--port",
        &server.port.to_string(),
    ]);
    command.args([
        "--server",
        &server.process.to_string(),
        "--rate",
        &rate.to_string(),
    ]);
    command.args(["--measure-ms", &measure.as_millis().to_string()]);
    command.args(["--warmup-ms", &WARMUP.as_millis().to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = lab
        .pinning
        .within(Side::Load, || command.spawn().context("no load"))?;
    let Ok(output) = timeout(measure + LOAD_SPARE, child.wait_with_output()).await else {
        bail!("the load did not end in time");
    };
    let output = output?;
    if !output.status.success() {
        bail!(
            "{}",
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .replace('\n', " ")
        );
    }
    serde_json::from_slice(&output.stdout).context("the load said something unknown")
}

impl Figure {
    /// The value in its own unit: microseconds, or bytes.
    pub(crate) fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Cpu => outcome.cpu_us / outcome.operations.max(1) as f64,
            Self::User => outcome.user_us / outcome.operations.max(1) as f64,
            Self::Memory => outcome.bytes_per_stream,
            Self::Median => outcome.p50_us,
            Self::Tail => outcome.p99_us,
        }
    }
}

impl Series {
    /// The ratio to the reference, round by round.
    pub(crate) fn ratios(&self, reference: &Self, figure: Figure) -> Vec<f64> {
        let pairs = self.outcomes.iter().zip(&reference.outcomes);
        pairs
            .map(|(own, other)| figure.of(own) / figure.of(other))
            .collect()
    }

    /// User-mode time of all rounds, in seconds.
    pub(crate) fn user_seconds(&self) -> f64 {
        self.outcomes.iter().map(|one| one.user_us).sum::<f64>() / 1e6
    }

    /// User-mode time of an operation over all rounds: the kernel samples it, so a single
    /// round means little.
    pub(crate) fn user_us(&self) -> f64 {
        let operations: u64 = self.outcomes.iter().map(|one| one.operations).sum();
        self.user_seconds() * 1e6 / operations.max(1) as f64
    }
}

impl Results {
    /// True if any server failed any case.
    pub(crate) fn have_faults(&self) -> bool {
        let mut series = self.cases.iter().flat_map(|result| &result.series);
        series.any(|series| series.fault.is_some())
    }
}
