//! From what an engine says to a percentage, and from a percentage to a band (AS-03).

use crate::settings::Bands;

/// How unwanted a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Bassa.
    Low,
    /// Media.
    Medium,
    /// Alta.
    High,
}

impl Band {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Band::Low => "low",
            Band::Medium => "medium",
            Band::High => "high",
        }
    }

    /// The word of the rules: «bassa, media, alta».
    pub fn italian(self) -> &'static str {
        match self {
            Band::Low => "bassa",
            Band::Medium => "media",
            Band::High => "alta",
        }
    }

    /// The band of a percentage; none where the message is not marked.
    pub fn of(percent: f64, bands: &Bands) -> Option<Band> {
        match percent {
            p if p >= bands.high => Some(Band::High),
            p if p >= bands.medium => Some(Band::Medium),
            p if p >= bands.low => Some(Band::Low),
            _ => None,
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Band> {
        [Band::Low, Band::Medium, Band::High].into_iter().find(|band| band.word() == word)
    }
}

/// Percentages that an engine gives at most and at least: nothing is certain.
const MOST: f64 = 99.9;
const LEAST: f64 = 0.1;

/// The percentage of odds.
pub fn percent_of_log_odds(log_odds: f64) -> f64 {
    (100.0 / (1.0 + (-log_odds).exp())).clamp(LEAST, MOST)
}

fn log_odds_of_percent(percent: f64) -> f64 {
    let share = percent.clamp(LEAST, MOST) / 100.0;
    (share / (1.0 - share)).ln()
}

/// Points between which a scanner's score becomes a percentage: shares of its own threshold, from which it is certain.
type Scale = [(f64, f64); 6];

/// Rspamd's threshold (15) is that of refusing; it marks from 6 and greylists from 4.
const RSPAMD: Scale = [(-0.2, LEAST), (0.0, 2.0), (4.0 / 15.0, 50.0), (6.0 / 15.0, 75.0), (1.0, 95.0), (2.0, MOST)];
/// SpamAssassin's threshold (5) is that of marking; twice as much is hardly ever wrong.
const SPAMD: Scale = [(-0.5, LEAST), (0.0, 5.0), (0.6, 50.0), (1.0, 75.0), (2.0, 95.0), (4.0, MOST)];

/// The percentage of a scanner's score.
pub fn percent_of_score(protocol: &str, score: f64, threshold: f64) -> f64 {
    let scale = if protocol == "rspamd" { RSPAMD } else { SPAMD };
    let share = score / threshold.max(0.001);
    let mut below = scale[0];
    for point in scale {
        if share < point.0 {
            let width = point.0 - below.0;
            let part = if width > 0.0 { (share - below.0) / width } else { 0.0 };
            return (below.1 + part.max(0.0) * (point.1 - below.1)).clamp(LEAST, MOST);
        }
        below = point;
    }
    MOST
}

/// What two engines say together: the middle of their odds.
pub fn together(one: f64, other: f64) -> f64 {
    percent_of_log_odds((log_odds_of_percent(one) + log_odds_of_percent(other)) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.01, "{found} instead of {expected}");
    }

    #[test]
    fn as_03_scores_of_scanners_become_percentages() {
        for (protocol, score, threshold, percent) in [
            ("rspamd", 15.0, 15.0, 95.0),
            ("rspamd", 6.0, 15.0, 75.0),
            ("rspamd", 4.0, 15.0, 50.0),
            ("rspamd", 0.0, 15.0, 2.0),
            ("rspamd", -10.0, 15.0, 0.1),
            ("rspamd", 1000.0, 15.0, 99.9),
            ("spamd", 1000.0, 5.0, 99.9),
            ("spamd", 5.0, 5.0, 75.0),
            ("spamd", 0.0, 5.0, 5.0),
            ("spamd", -9.0, 5.0, 0.1),
        ] {
            near(percent_of_score(protocol, score, threshold), percent);
        }
        let mut last = 0.0;
        for score in -100..400 {
            let percent = percent_of_score("rspamd", f64::from(score) / 10.0, 15.0);
            assert!(percent >= last, "more is never less: {score}");
            last = percent;
        }
    }

    #[test]
    fn as_03_bands_have_borders() {
        let bands = Bands::default();
        assert_eq!(Band::of(49.9, &bands), None);
        assert_eq!(Band::of(50.0, &bands), Some(Band::Low));
        assert_eq!(Band::of(75.0, &bands), Some(Band::Medium));
        assert_eq!(Band::of(95.0, &bands), Some(Band::High));
        assert_eq!(["bassa", "media", "alta"], [Band::Low, Band::Medium, Band::High].map(Band::italian));
    }

    #[test]
    fn two_engines_meet_in_the_middle() {
        near(together(50.0, 50.0), 50.0);
        near(together(95.0, 5.0), 50.0);
        assert!(together(95.0, 50.0) > 75.0);
        assert!(together(95.0, 99.0) > 95.0);
    }
}
