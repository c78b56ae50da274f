//! What to do when SQLite gives up: its own words name the trouble and not the remedy.

use std::fmt;

/// SQLite's primary result codes for a file that is damaged, and for one that is no database.
const DAMAGED: [u32; 2] = [11, 26];

/// The advice that goes with an error of SQLite.
pub(crate) struct Advice<'a>(pub(crate) &'a sqlx::Error);

impl Advice<'_> {
    fn is_damage(&self) -> bool {
        let sqlx::Error::Database(error) = self.0 else { return false };
        // The lowest byte of an extended code is its primary code.
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| DAMAGED.contains(&(code & 0xff)))
    }
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_damage() {
            "the file is damaged, and nothing was overwritten: test the disk, and restore the whole state folder from a backup"
        } else {
            "check the disk: its space, the permissions, and whether it is mounted read-only; then start again"
        })
    }
}
