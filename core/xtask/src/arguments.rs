//! Command-line words: `--name`, `--name VALUE`, and the rest. Small enough not to need a parser of its own.

use crate::run::Problem;
use std::str::FromStr;

/// Words after the task's name, taken out one by one.
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Splits `--name=VALUE` into two words.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let split = words.flat_map(|word| match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
            _ => vec![word],
        });
        Ok(Self(split.collect()))
    }

    /// Whether `--name` is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() != before
    }

    /// The value after `--name`, if it is there.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(Problem(format!("{name} needs a value")));
        }
        let value = self.0.remove(at + 1);
        self.0.remove(at);
        value.parse().map(Some).map_err(|_| Problem(format!("{name}: `{value}` is not such a value")))
    }

    /// The words that are not options.
    pub fn rest(&mut self) -> Vec<String> {
        let (options, rest) = std::mem::take(&mut self.0).into_iter().partition(|word| word.starts_with('-'));
        self.0 = options;
        rest
    }

    /// Refuses whatever nobody asked for.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            Some(word) => Err(Problem(format!("unknown argument `{word}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parsed(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap()
    }

    #[test]
    fn values_and_flags_are_taken_out_and_the_rest_is_refused() {
        let mut arguments = parsed("--once --dir=x --base-port 42 --tpyo");
        assert!(arguments.flag("--once"));
        assert!(!arguments.flag("--force"));
        assert_eq!(arguments.value::<String>("--dir").unwrap().as_deref(), Some("x"));
        assert_eq!(arguments.value::<u16>("--base-port").unwrap(), Some(42));
        assert!(arguments.finish().unwrap_err().0.contains("--tpyo"));
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_said() {
        assert!(parsed("--base-port").value::<u16>("--base-port").is_err());
        assert!(parsed("--base-port 99999").value::<u16>("--base-port").is_err());
    }
}
