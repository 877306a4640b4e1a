//! "Did you mean": the known word that is most like a misspelt one.

use strsim::osa_distance;

/// Longer words are not compared.
const LENGTH_MAX: usize = 64;

/// The most similar candidate, if it is similar enough: one letter in three may be wrong, missing,
/// added or swapped with the next one. Case is ignored, and `_` equals `-`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    let length = word.chars().count();
    if length == 0 || length > LENGTH_MAX {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .map(|candidate| (osa_distance(&word, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> String {
    word.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let keys = ["listen", "handler", "limits", "timeouts"];
        let guess = |word| nearest(word, keys);
        assert_eq!(guess("listen"), Some("listen"));
        assert_eq!(guess("listne"), Some("listen"));
        assert_eq!(guess("listener"), Some("listen"));
        assert_eq!(guess("time_outs"), Some("timeouts"));
        assert_eq!(guess("Handler"), Some("handler"));
        assert_eq!(guess("timeout"), Some("timeouts"));
        assert_eq!(guess("tls"), None);
        assert_eq!(guess("x"), None);
        assert_eq!(guess(""), None);
    }

    #[test]
    fn the_distance_is_the_known_one() {
        let of = |a: &str, b: &str| osa_distance(&folded(a), &folded(b));
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("ab", "ba"), 1);
    }
}
