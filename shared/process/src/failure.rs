//! An error as a person reads it.

use std::error::Error;

/// The error and its causes, each said once: many of our errors name their cause in their own text.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Failure(&'static str, Option<Box<Failure>>);

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failure {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        let disk = || Some(Box::new(Failure("disk full", None)));
        assert_eq!(describe(&Failure("cannot write x: disk full", disk())), "cannot write x: disk full");
        assert_eq!(describe(&Failure("cannot write x", disk())), "cannot write x: disk full");
    }
}
