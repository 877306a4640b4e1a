//! The table for people, and the same figures round by round as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::cases::{Figure, Target};
use crate::cli::BenchOptions;
use crate::meter::Outcome;
use crate::rounds::{CaseResult, Results, Series};
use crate::servers::Contender;

/// A run, ready to be printed.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    options: &'a BenchOptions,
    results: &'a Results,
}

/// Middle and ends of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl<'a> Report<'a> {
    /// A report on `results`.
    pub(crate) fn new(options: &'a BenchOptions, results: &'a Results) -> Self {
        Self { options, results }
    }

    /// Every outcome of every round.
    pub(crate) fn as_json(&self) -> Value {
        let cases = self.results.cases.iter().map(|result| {
            let series = result.series.iter().map(|series| {
                json!({
                    "server": series.contender.name(),
                    "fault": series.fault,
                    "rounds": series.outcomes,
                })
            });
            json!({
                "case": result.case.name,
                "title": result.case.title,
                "reference": result.case.reference.name(),
                "left-out": result.left_out,
                "servers": series.collect::<Vec<Value>>(),
            })
        });
        json!({
            "rounds": self.options.rounds,
            "seconds": self.options.seconds.as_secs_f64(),
            "workers": self.options.workers,
            "placement": self.results.placement,
            "cases": cases.collect::<Vec<Value>>(),
        })
    }

    fn notes(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.options.daemon.is_none() {
            writeln!(out, "polyport: left out, no --daemon was given")?;
        }
        for result in &self.results.cases {
            if let Some(reason) = &result.left_out {
                writeln!(out, "{}: left out, {reason}", result.case.name)?;
            }
            for series in &result.series {
                if let Some(fault) = &series.fault {
                    let server = series.contender.name();
                    let round = series.outcomes.len() + 1;
                    writeln!(
                        out,
                        "{}: {server} FAILED in round {round}: {fault}",
                        result.case.name
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl Display for Report<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let BenchOptions {
            rounds,
            seconds,
            workers,
            ..
        } = self.options;
        let (seconds, placement) = (seconds.as_secs_f64(), &self.results.placement);
        writeln!(
            out,
            "{rounds} rounds of {seconds} s, workers {workers}, {placement}"
        )?;
        writeln!(
            out,
            "{:<8} {:<9} {:>12} {:>7} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6}  target",
            "case", "server", "figure", "user us", "user s", "kop/s", "busy", "ratio", "min", "max"
        )?;
        for result in &self.results.cases {
            case_rows(out, result)?;
        }
        self.notes(out)
    }
}

fn case_rows(out: &mut Formatter<'_>, result: &CaseResult) -> fmt::Result {
    let Some(reference) = result.series.first() else {
        return Ok(());
    };
    for (figure, target) in &result.case.figures {
        writeln!(out, "{}, {}", result.case.title, figure.unit())?;
        for series in result
            .series
            .iter()
            .filter(|series| !series.outcomes.is_empty())
        {
            let values = series.outcomes.iter().map(|one| figure.of(one)).collect();
            let value = Spread::of(values).median;
            let ratio = Spread::of(series.ratios(reference, *figure));
            name_columns(out, result, series.contender.name())?;
            write!(out, "{:>12} ", figure.show(value))?;
            load_columns(out, series, *figure)?;
            ratio.columns(out)?;
            if series.contender == Contender::Polyport {
                write!(out, "  {}", target.judge(value, ratio.median))?;
            }
            writeln!(out)?;
        }
        baseline_row(out, result, *figure)?;
    }
    Ok(())
}

/// How the daemon compares with its other build, round by round.
fn baseline_row(out: &mut Formatter<'_>, result: &CaseResult, figure: Figure) -> fmt::Result {
    let of = |contender| result.series.iter().find(|one| one.contender == contender);
    let (Some(daemon), Some(baseline)) = (of(Contender::Polyport), of(Contender::Baseline)) else {
        return Ok(());
    };
    let ratio = Spread::of(daemon.ratios(baseline, figure));
    let user = match figure {
        Figure::Memory => String::new(),
        _ => format!("{:.2}", daemon.user_us() / baseline.user_us()),
    };
    name_columns(out, result, "new/base")?;
    write!(out, "{:>12} {user:>7} {:>6} {:>6} {:>5}", "", "", "", "")?;
    ratio.columns(out)?;
    writeln!(out)
}

fn name_columns(out: &mut Formatter<'_>, result: &CaseResult, server: &str) -> fmt::Result {
    write!(out, "{:<8} {server:<9} ", result.case.name)
}

/// User time, rate and how busy the server was say something only where CPU time is the figure.
fn load_columns(out: &mut Formatter<'_>, series: &Series, figure: Figure) -> fmt::Result {
    if figure == Figure::Memory {
        return write!(out, "{:>7} {:>6} {:>6} {:>5}", "", "", "", "");
    }
    let of =
        |value: fn(&Outcome) -> f64| Spread::of(series.outcomes.iter().map(value).collect()).median;
    let (user, total) = (series.user_us(), series.user_seconds());
    let rate = of(|one| one.operations as f64 / one.wall_us * 1e3);
    let busy = of(|one| one.cpu_us / one.wall_us * 100.0);
    write!(out, "{user:>7.3} {total:>6.1} {rate:>6.1} {busy:>4.0}%")
}

impl Figure {
    fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "us of server CPU an operation",
            Self::User => "us of server CPU in user mode an operation",
            Self::Memory => "bytes of server memory a stream",
            Self::Median => "us median latency",
            Self::Tail => "us latency of the 99th percentile",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Cpu | Self::User => format!("{value:.3}"),
            Self::Memory => format!("{value:.0}"),
            Self::Median | Self::Tail => format!("{value:.1}"),
        }
    }
}

impl Target {
    fn judge(self, value: f64, ratio: f64) -> String {
        let (limit, met) = match self {
            Self::Ratio(limit) => (format!("ratio <= {limit:.2}"), ratio <= limit),
            Self::Value(limit) => (format!("figure <= {limit}"), value <= limit),
            Self::None => return "-".to_owned(),
        };
        format!("{limit} {}", if met { "met" } else { "MISSED" })
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self {
            median,
            min: at(0),
            max: at(last),
        }
    }

    fn columns(self, out: &mut Formatter<'_>) -> fmt::Result {
        for value in [self.median, self.min, self.max] {
            // A reference that needs nothing has no ratio.
            let shown = match value.is_finite() {
                true => format!("{value:.2}"),
                false => "-".to_owned(),
            };
            write!(out, " {shown:>6}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_middle_and_ends() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(
            odd,
            Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            }
        );
        let even = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            even,
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
    }

    #[test]
    fn a_target_is_judged_by_its_own_measure() {
        assert_eq!(Target::Ratio(1.08).judge(99.0, 1.08), "ratio <= 1.08 met");
        assert_eq!(
            Target::Value(1536.0).judge(2000.0, 0.1),
            "figure <= 1536 MISSED"
        );
        assert_eq!(Target::None.judge(1.0, 1.0), "-");
    }
}
