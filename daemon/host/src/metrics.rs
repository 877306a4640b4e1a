//! Metric cells of plugins: registered in `[ctl]`, added to from any thread, read by the daemon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::id::Id;
use crate::status::HostError;

/// Most series an instance may register.
const SERIES_MAX: usize = 256;

/// The kind of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows.
    Counter,
    /// A signed number.
    Gauge,
}

/// One series of an instance.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name, without the daemon's prefix.
    pub name: String,
    /// A sentence for people.
    pub help: String,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// Its kind.
    pub kind: MetricKind,
    /// The value, which plugins add to. Never freed.
    pub cell: &'static AtomicU64,
}

/// All series of all instances.
#[derive(Debug, Default)]
pub struct Metrics {
    series: Mutex<BTreeMap<Id, Vec<Series>>>,
}

impl Metrics {
    /// The cell of a series: the same one for the same name and labels.
    ///
    /// # Errors
    /// [`HostError::Invalid`] for a name or label that is invalid for Prometheus, or one name with two kinds;
    /// [`HostError::Denied`] above the bound of series.
    pub fn register(
        &self,
        instance: Id,
        mut wanted: Series,
    ) -> Result<&'static AtomicU64, HostError> {
        wanted.labels.sort();
        let labels_valid = wanted
            .labels
            .iter()
            .all(|(key, _)| valid(key) && !key.contains(':'));
        let repeated = wanted
            .labels
            .windows(2)
            .any(|two| matches!(two, [a, b] if a.0 == b.0));
        if !valid(&wanted.name) || !labels_valid || repeated {
            return Err(HostError::Invalid);
        }
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(instance).or_default();
        if series
            .iter()
            .any(|one| one.name == wanted.name && one.kind != wanted.kind)
        {
            return Err(HostError::Invalid);
        }
        if let Some(known) = series
            .iter()
            .find(|one| one.name == wanted.name && one.labels == wanted.labels)
        {
            return Ok(known.cell);
        }
        if series.len() >= SERIES_MAX {
            return Err(HostError::Denied);
        }
        // Cells live for ever by the ABI, because abandoned threads may still write to them; they are bounded.
        let cell: &'static AtomicU64 = Box::leak(Box::default());
        wanted.cell = cell;
        series.push(wanted);
        Ok(cell)
    }

    /// Forgets the series of an instance; their cells stay, see [`register`](Self::register).
    pub(crate) fn remove(&self, instance: Id) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&instance);
    }

    /// The series of an instance, with their present values.
    #[must_use]
    pub fn of(&self, instance: Id) -> Vec<(Series, u64)> {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.get(&instance).map(Vec::as_slice).unwrap_or_default();
        series
            .iter()
            .map(|one| (one.clone(), one.cell.load(Ordering::Relaxed)))
            .collect()
    }
}

/// Is it a valid name for Prometheus?
fn valid(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
        && name.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Kind;

    static UNUSED: AtomicU64 = AtomicU64::new(0);

    fn counter(name: &str, labels: &[(&str, &str)]) -> Series {
        Series {
            name: name.into(),
            help: String::new(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            kind: MetricKind::Counter,
            cell: &UNUSED,
        }
    }

    #[test]
    fn metrics_give_the_same_cell_for_the_same_name_and_labels() {
        let metrics = Metrics::default();
        let instance = Id::new(Kind::Instance, 0, 1, 1);
        let one = metrics
            .register(instance, counter("a_total", &[("x", "1"), ("b", "2")]))
            .unwrap();
        let two = metrics
            .register(instance, counter("a_total", &[("b", "2"), ("x", "1")]))
            .unwrap();
        assert!(std::ptr::eq(one, two));
        one.fetch_add(3, Ordering::Relaxed);
        assert_eq!(metrics.of(instance)[0].1, 3);
    }

    #[test]
    fn metrics_refuse_bad_names_and_too_many_series() {
        let metrics = Metrics::default();
        let instance = Id::new(Kind::Instance, 0, 1, 1);
        for name in ["", "9a", "a-b", "a b", "a\n"] {
            assert_eq!(
                metrics.register(instance, counter(name, &[])).err(),
                Some(HostError::Invalid)
            );
        }
        for n in 0..SERIES_MAX {
            metrics
                .register(instance, counter("a", &[("n", &n.to_string())]))
                .unwrap();
        }
        assert_eq!(
            metrics.register(instance, counter("b", &[])).err(),
            Some(HostError::Denied)
        );
    }
}
