//! How a scanner for spam rates a message: numbers in thousandths, and words of its own that are bounded.

use super::words;

/// Octets that remain of the names of the rules that a message met.
pub const SYMBOLS_MAX: usize = 2048;
/// Largest number that a rating has, in thousandths: scores of a million exist nowhere.
const THOUSANDTHS_MAX: f64 = 1e9;

/// A rating.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rating {
    /// Thousandths; more is worse.
    pub score: i64,
    /// Thousandths of the score from which the scanner calls it spam (spamd) or would refuse it (rspamd).
    pub threshold: i64,
    /// What the scanner would do.
    pub action: String,
    /// The names of the rules that the message met, parted by commas.
    pub symbols: String,
}

impl Rating {
    /// From what a scanner said; none where a number is none.
    pub(super) fn new(score: f64, threshold: f64, action: &str, symbols: &[String]) -> Option<Rating> {
        let rating = Rating {
            score: thousandths(score)?,
            threshold: thousandths(threshold)?,
            action: words(action.as_bytes()),
            symbols: listed(symbols),
        };
        (rating.threshold > 0).then_some(rating)
    }
}

fn thousandths(number: f64) -> Option<i64> {
    let thousandths = (number * 1000.0).round();
    (thousandths.is_finite() && thousandths.abs() <= THOUSANDTHS_MAX).then_some(thousandths as i64)
}

/// As many whole names as there is room for.
fn listed(symbols: &[String]) -> String {
    let mut list = String::new();
    for symbol in symbols {
        let name: String = symbol.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
        let name = words(name.as_bytes());
        if name.is_empty() {
            continue;
        }
        if list.len() + 1 + name.len() > SYMBOLS_MAX {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&name);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_has_numbers_and_bounded_words() {
        let many: Vec<String> = (0..1000).map(|n| format!("RULE_{n}")).collect();
        let rating = Rating::new(15.25, 15.0, "add\r\nheader", &many).unwrap_or_default();
        assert_eq!((rating.score, rating.threshold), (15_250, 15_000));
        assert_eq!(rating.action, "add??header");
        assert!(rating.symbols.len() <= SYMBOLS_MAX && rating.symbols.ends_with(|c: char| c.is_ascii_digit()));
        assert!(Rating::new(f64::NAN, 5.0, "", &[]).is_none());
        assert!(Rating::new(1.0, f64::INFINITY, "", &[]).is_none());
        assert!(Rating::new(1e30, 5.0, "", &[]).is_none());
        assert!(Rating::new(1.0, 0.0, "", &[]).is_none(), "no threshold, no measure");
        assert_eq!(Rating::new(-1.5, 5.0, "", &["A B".into(), "\r".into()]).unwrap_or_default().symbols, "AB");
    }
}
