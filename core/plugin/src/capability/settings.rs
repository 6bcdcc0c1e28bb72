//! `settings` and `log`.

use crate::limits;
use crate::services::Level;
use crate::step::StepState;
use crate::world::mail::{log, settings};

impl settings::Host for StepState {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        let config = self.config();
        self.reads(config.len() as u64)?;
        Ok(config)
    }
}

impl log::Host for StepState {
    fn log(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        self.call()?;
        self.writes(text.len() as u64)?;
        if self.log_lines >= limits::LOG_LINES_MAX {
            self.log_lines_dropped += 1;
            return Ok(());
        }
        self.log_lines += 1;
        self.write_log(rank(level), &line(&text));
        Ok(())
    }
}

fn rank(level: log::Level) -> Level {
    match level {
        log::Level::Debug => Level::Debug,
        log::Level::Info => Level::Info,
        log::Level::Warn => Level::Warn,
        log::Level::Error => Level::Error,
    }
}

/// One line: a terminal must not obey what a message's sender wrote.
fn line(text: &str) -> String {
    let mut end = text.len().min(limits::LOG_LINE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_its_length() {
        assert_eq!(line("a\r\nb\u{1b}[2J"), "a  b [2J");
        assert_eq!(line(&"é".repeat(600)).len(), limits::LOG_LINE_MAX);
        assert_eq!(line(&format!("x{}", "é".repeat(600))).len(), limits::LOG_LINE_MAX - 1);
    }
}
