//! "Did you mean": the word that an operator most likely wanted to write.

/// Words past this length are no slips of the finger.
const LENGTH_MAX: usize = 64;

/// The nearest of the candidates, when one is near enough: a letter in three may be wrong, missing,
/// too many or swapped with its neighbour. Case, `-` and `_` do not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    if word.is_empty() || word.len() > LENGTH_MAX {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .map(|candidate| (distance(&word, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .map(|c| {
            if c == '_' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// How many letters to change, add, drop or swap (restricted Damerau-Levenshtein distance).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (at, letter) in left.iter().enumerate() {
        let mut next = vec![at + 1];
        let mut neighbour = None;
        for (column, other) in right.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = cell(&row, column) + usize::from(letter != other);
            best = best
                .min(cell(&row, column + 1) + 1)
                .min(cell(&next, column) + 1);
            if column > 0 && last == Some(other) && neighbour == Some(letter) {
                best = best.min(cell(&before, column - 1) + 1);
            }
            next.push(best);
            neighbour = Some(other);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(letter);
    }
    row.last().copied().unwrap_or(0)
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
        let of = |a: &str, b: &str| distance(&folded(a), &folded(b));
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("ab", "ba"), 1);
    }
}
