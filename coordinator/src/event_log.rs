//! The durable memory of a study: accepted events, hash-chained, in SQLite (WAL, synchronous FULL).
//!
//! An event is written before its effects happen, so state after a crash is a fold over this log. Each entry's hash
//! covers the one before: an edited, removed or reordered entry is found when the log is opened, unless everything
//! after it was rewritten or cut off too. Deliberately not a place for anything that can be derived.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consilium_domain::{Digest, SiteId};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::Event;
use consilium_transport::Traffic;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, Row};
use tokio::sync::Mutex;

use crate::database_advice::Advice;
use crate::surroundings::still;

/// The layout below; another number is another program's database.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS event (
        seq   INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        event TEXT    NOT NULL,
        hash  BLOB    NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS traffic (
        site           TEXT    PRIMARY KEY,
        bytes_sent     INTEGER NOT NULL,
        bytes_received INTEGER NOT NULL
    ) STRICT;
";

/// Why the log cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// SQLite or the disk refuses.
    #[error("the event log {path}: {source}; {}", Advice(source))]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// Another layout.
    #[error(
        "the event log {path} has format {found}, this release reads {FORMAT}: use the release that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The chain is broken.
    #[error(
        "the event log {path} was altered at entry {seq}: restore it from a backup; nothing was overwritten"
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// The first entry that does not fit.
        seq: i64,
    },
    /// The audit log remembers more.
    #[error(
        "the event log {path} has {found} entries and not the {noted} that the audit log tells of: its end is missing or is \
         another study's. Restore the whole state folder from a backup; nothing was overwritten"
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Its entries.
        found: i64,
        /// The entries it had.
        noted: u64,
    },
}

/// An open log.
pub struct EventLog {
    /// One for good: a pool would ask before and after every statement whether it is still there.
    connection: Mutex<SqliteConnection>,
    path: PathBuf,
    head: Digest,
    next: i64,
}

impl EventLog {
    /// Opens or creates the log at `path` and reads it from the beginning.
    ///
    /// # Errors
    /// When the file is not a log of this format, or its chain of hashes is broken.
    pub async fn open(path: &Path) -> Result<(Self, Vec<(Timestamp, Event)>), EventLogError> {
        let _still = still();
        let fail = |source| EventLogError::Database { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.map_err(fail)?;
        let format: i64 = sqlx::query("PRAGMA user_version")
            .fetch_one(&mut connection)
            .await
            .map_err(fail)?
            .try_get(0)
            .map_err(fail)?;
        match format {
            0 => {
                connection.execute(SCHEMA).await.map_err(fail)?;
                connection.execute("PRAGMA user_version = 1").await.map_err(fail)?;
            }
            FORMAT => {}
            found => return Err(EventLogError::Format { path: path.to_owned(), found }),
        }
        let mut log = Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            head: Digest::of(b"consilium event log 1"),
            next: 0,
        };
        let events = log.read().await?;
        Ok((log, events))
    }

    /// Writes one event; when this returns, it survives a crash.
    ///
    /// # Errors
    /// When the disk refuses: the event did not happen.
    #[tracing::instrument(level = "debug", name = "write event", skip_all)]
    pub async fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), EventLogError> {
        let _still = still();
        let text = serde_json::to_string(event).expect("events have only text keys");
        let hash = chain(self.head, self.next, at, &text);
        sqlx::query("INSERT INTO event (seq, at_ms, event, hash) VALUES (?, ?, ?, ?)")
            .bind(self.next)
            .bind(i64::try_from(at.0).unwrap_or(i64::MAX))
            .bind(text)
            .bind(hash.as_bytes().as_slice())
            .execute(&mut *self.connection.lock().await)
            .await
            .map_err(|source| self.database(source))?;
        self.head = hash;
        self.next += 1;
        Ok(())
    }

    /// Checks that the log holds as many events as the audit log has `noted`, and that the last of them is the same. What is
    /// missing at the end of a log is seen by nothing in it.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn check_reaches(&self, noted: Option<(u64, Digest)>) -> Result<(), EventLogError> {
        let _still = still();
        let Some((count, last)) = noted.filter(|(count, _)| *count > 0) else { return Ok(()) };
        let hash = sqlx::query("SELECT hash FROM event WHERE seq = ?")
            .bind(i64::try_from(count - 1).unwrap_or(i64::MAX))
            .fetch_optional(&mut *self.connection.lock().await)
            .await
            .and_then(|row| row.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose())
            .map_err(|source| self.database(source))?;
        if hash.as_deref() == Some(last.as_bytes()) {
            return Ok(());
        }
        Err(EventLogError::CutOff { path: self.path.clone(), found: self.next, noted: count })
    }

    /// How many events there are, and the hash of the last.
    pub fn head(&self) -> (u64, Digest) {
        (self.next.unsigned_abs(), self.head)
    }

    /// Adds the bytes of an ended connection to the site's account.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn add_traffic(&self, site: &SiteId, traffic: Traffic) -> Result<(), EventLogError> {
        let _still = still();
        sqlx::query(
            "INSERT INTO traffic VALUES (?, ?, ?) ON CONFLICT (site) DO UPDATE SET \
             bytes_sent = bytes_sent + excluded.bytes_sent, \
             bytes_received = bytes_received + excluded.bytes_received",
        )
        .bind(site.as_str())
        .bind(i64::try_from(traffic.bytes_sent).unwrap_or(i64::MAX))
        .bind(i64::try_from(traffic.bytes_received).unwrap_or(i64::MAX))
        .execute(&mut *self.connection.lock().await)
        .await
        .map_err(|source| self.database(source))?;
        Ok(())
    }

    /// The bytes sent to and received from `site` over all its ended connections.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn traffic(&self, site: &SiteId) -> Result<Traffic, EventLogError> {
        let _still = still();
        let row = sqlx::query("SELECT bytes_sent, bytes_received FROM traffic WHERE site = ?")
            .bind(site.as_str())
            .fetch_optional(&mut *self.connection.lock().await)
            .await
            .map_err(|source| self.database(source))?;
        let Some(row) = row else { return Ok(Traffic::default()) };
        let column = |index| row.try_get::<i64, _>(index).map(|bytes| bytes.unsigned_abs());
        let (sent, received) =
            column(0).and_then(|sent| Ok((sent, column(1)?))).map_err(|source| self.database(source))?;
        Ok(Traffic { bytes_sent: sent, bytes_received: received })
    }

    /// [`Self::traffic`] of each of `sites`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn accounts(&self, sites: &[SiteId]) -> Result<BTreeMap<SiteId, Traffic>, EventLogError> {
        let mut accounts = BTreeMap::new();
        for site in sites {
            accounts.insert(site.clone(), self.traffic(site).await?);
        }
        Ok(accounts)
    }

    async fn read(&mut self) -> Result<Vec<(Timestamp, Event)>, EventLogError> {
        let rows = sqlx::query("SELECT seq, at_ms, event, hash FROM event ORDER BY seq")
            .fetch_all(&mut *self.connection.lock().await)
            .await
            .map_err(|source| self.database(source))?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let (at, event, hash) = self.entry(&row).ok_or_else(|| self.altered())?;
            events.push((at, event));
            self.head = hash;
            self.next += 1;
        }
        Ok(events)
    }

    /// One row, if it is the next entry of the chain.
    fn entry(&self, row: &sqlx::sqlite::SqliteRow) -> Option<(Timestamp, Event, Digest)> {
        let seq: i64 = row.try_get(0).ok()?;
        let at = Timestamp(row.try_get::<i64, _>(1).ok()?.unsigned_abs());
        let text: String = row.try_get(2).ok()?;
        let stored: Vec<u8> = row.try_get(3).ok()?;
        let hash = chain(self.head, self.next, at, &text);
        let fits = seq == self.next && stored == hash.as_bytes();
        fits.then(|| serde_json::from_str(&text).ok()).flatten().map(|event| (at, event, hash))
    }

    fn altered(&self) -> EventLogError {
        EventLogError::Altered { path: self.path.clone(), seq: self.next }
    }

    fn database(&self, source: sqlx::Error) -> EventLogError {
        EventLogError::Database { path: self.path.clone(), source }
    }
}

fn chain(head: Digest, seq: i64, at: Timestamp, text: &str) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("consilium 2026 event log entry");
    hasher.update(head.as_bytes()).update(&seq.to_le_bytes()).update(&at.0.to_le_bytes());
    hasher.update(text.as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(reason: &str) -> Event {
        Event::SiteGone { site: "a".parse().unwrap(), reason: reason.into() }
    }

    async fn written(path: &Path) {
        let (mut log, events) = EventLog::open(path).await.unwrap();
        assert!(events.is_empty());
        for (at, reason) in ["one", "two", "three"].into_iter().enumerate() {
            log.append(Timestamp(at as u64), &gone(reason)).await.unwrap();
        }
    }

    async fn tamper(path: &Path, statement: &'static str) {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.unwrap();
        connection.execute(statement).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    }

    #[tokio::test]
    async fn events_come_back_in_order_and_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.sqlite");
        written(&path).await;
        let (mut log, events) = EventLog::open(&path).await.unwrap();
        assert_eq!(events[1], (Timestamp(1), gone("two")));
        log.append(Timestamp(9), &gone("four")).await.unwrap();
        assert_eq!(EventLog::open(&path).await.unwrap().1.len(), 4);
    }

    #[tokio::test]
    async fn every_alteration_is_found_where_it_is() {
        for (statement, at) in [
            ("UPDATE event SET event = replace(event, 'two', 'too') WHERE seq = 1", 1),
            ("DELETE FROM event WHERE seq = 0", 0),
            ("UPDATE event SET at_ms = 7 WHERE seq = 2", 2),
            ("DELETE FROM event WHERE seq = 1; UPDATE event SET seq = 1 WHERE seq = 2", 1),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log.sqlite");
            written(&path).await;
            tamper(&path, statement).await;
            let error = EventLog::open(&path).await.err().expect("the alteration is found");
            assert!(matches!(error, EventLogError::Altered { seq, .. } if seq == at), "{statement}: {error}");
        }
    }

    #[tokio::test]
    async fn a_damaged_page_is_told_from_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.sqlite");
        let (mut log, _) = EventLog::open(&path).await.unwrap();
        for at in 0..200 {
            log.append(Timestamp(at), &gone("a reason of some length, so that there are many pages"))
                .await
                .unwrap();
        }
        sqlx::Connection::close(log.connection.into_inner()).await.unwrap();
        let mut content = std::fs::read(&path).unwrap();
        // Of the table of events: the first pages are those of the schema and of what is empty.
        let page = 4096 * 6;
        content[page..page + 64].fill(0xff);
        std::fs::write(&path, &content).unwrap();
        let error = EventLog::open(&path).await.err().expect("the damage is found");
        let told = error.to_string();
        assert!(matches!(error, EventLogError::Database { .. }), "{told}");
        assert!(told.contains("damaged") && told.contains("backup") && !told.contains("space"), "{told}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "nothing was overwritten");
        std::fs::write(&path, "no database at all, but text of some length".repeat(50)).unwrap();
        assert!(EventLog::open(&path).await.err().unwrap().to_string().contains("damaged"));
    }

    #[tokio::test]
    async fn an_end_that_is_missing_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.sqlite");
        written(&path).await;
        let (log, _) = EventLog::open(&path).await.unwrap();
        let noted = log.head();
        log.check_reaches(None).await.unwrap();
        log.check_reaches(Some(noted)).await.unwrap();
        log.check_reaches(Some((noted.0, Digest::of(b"another event")))).await.unwrap_err();
        drop(log);
        tamper(&path, "DELETE FROM event WHERE seq = 2").await;
        let (log, _) = EventLog::open(&path).await.unwrap();
        let told = log.check_reaches(Some(noted)).await.unwrap_err().to_string();
        assert!(told.contains("has 2 entries and not the 3"), "{told}");
    }

    #[tokio::test]
    async fn traffic_adds_up_over_connections() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = EventLog::open(&dir.path().join("log.sqlite")).await.unwrap();
        let site = "a".parse().unwrap();
        for _ in 0..2 {
            log.add_traffic(&site, Traffic { bytes_sent: 3, bytes_received: 4 }).await.unwrap();
        }
        assert_eq!(log.traffic(&site).await.unwrap(), Traffic { bytes_sent: 6, bytes_received: 8 });
    }
}
