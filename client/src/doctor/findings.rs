//! What an examination found: one line a test, for people and as JSON (docs/network.md).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Pass,
    /// This site can take part without it; something is lost.
    Warn,
    /// This site cannot take part until it is mended.
    Fail,
    /// Not tested, and why.
    Skip,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Its name, which stays the same over releases.
    pub(crate) test: String,
    /// How it ended.
    pub(crate) status: Status,
    /// What was found.
    pub(crate) found: String,
    /// What to do, and whom to tell what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

/// All tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Whether this site can reach the coordinator and take part.
    pub(crate) well: bool,
    /// The coordinator that was looked for.
    pub(crate) coordinator: String,
    /// Each test, in order.
    pub(crate) findings: Vec<Finding>,
}

impl Finding {
    pub(crate) fn pass(test: &str, found: impl Into<String>) -> Self {
        Self::new(test, Status::Pass, found, None)
    }

    pub(crate) fn skip(test: &str, why: impl Into<String>) -> Self {
        Self::new(test, Status::Skip, why, None)
    }

    pub(crate) fn fail(test: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(test, Status::Fail, found, Some(advice.into()))
    }

    pub(crate) fn warn(test: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(test, Status::Warn, found, Some(advice.into()))
    }

    fn new(test: &str, status: Status, found: impl Into<String>, advice: Option<String>) -> Self {
        Self { test: test.to_owned(), status, found: found.into(), advice }
    }
}

impl Findings {
    /// A site is well where nothing failed.
    pub(crate) fn new(coordinator: &str, findings: Vec<Finding>) -> Self {
        let well = findings.iter().all(|finding| finding.status != Status::Fail);
        Self { well, coordinator: coordinator.to_owned(), findings }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The way to {}", self.coordinator)?;
        let width = self.findings.iter().map(|finding| finding.test.len()).max().unwrap_or(0);
        for Finding { test, status, found, advice } in &self.findings {
            let status = match status {
                Status::Pass => "pass",
                Status::Warn => "WARN",
                Status::Fail => "FAIL",
                Status::Skip => "skip",
            };
            writeln!(f, "  {status}  {test:width$}  {found}")?;
            if let Some(advice) = advice {
                writeln!(f, "        {:width$}  -> {advice}", "")?;
            }
        }
        f.write_str(if self.well {
            "This site can reach the coordinator and take part."
        } else {
            "This site cannot take part yet: mend what failed, and run this again."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_no_failure_and_advice_is_shown() {
        let mut findings =
            vec![Finding::pass("tcp", "reached"), Finding::warn("udp", "no answer", "open the port")];
        let well = Findings::new("c:1", findings.clone());
        assert!(
            well.well && well.to_string().contains("WARN  udp  no answer\n             -> open the port\n"),
            "{well}"
        );
        findings.push(Finding::fail("clock", "a day off", "set it"));
        let ill = Findings::new("c:1", findings);
        assert!(!ill.well && ill.to_string().ends_with("run this again."));
        let json = serde_json::to_string(&ill).unwrap();
        assert!(
            json.contains(r#"{"test":"clock","status":"fail","found":"a day off","advice":"set it"}"#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Findings>(&json).unwrap(), ill);
    }
}
