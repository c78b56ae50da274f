//! The registry's tables: SQLite, WAL, synchronous FULL, one writer.
//!
//! A token's secret is never here, only its SHA-256; nor is any private key.

use std::path::{Path, PathBuf};

use consilium_domain::SiteId;
use consilium_pki::{Exposed, Readers, create, refuse_exposed};
use consilium_protocol::Timestamp;
use consilium_transport::{JoinToken, TokenId};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Executor, Row};

use super::record::{SiteRecord, SiteState};
use super::standing::Standing;
use crate::database_advice::Advice;
use crate::surroundings::still;

/// The layout below; another number is another program's database.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS site (
        name         TEXT PRIMARY KEY,
        revoked_ms   INTEGER,
        last_seen_ms INTEGER,
        software     TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS token (
        id           BLOB PRIMARY KEY,
        site         TEXT NOT NULL,
        secret_hash  BLOB NOT NULL,
        issued_ms    INTEGER NOT NULL,
        expires_ms   INTEGER NOT NULL,
        withdrawn_ms INTEGER,
        used_ms      INTEGER,
        public_key   BLOB,
        chain        TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS certificate (
        serial     TEXT PRIMARY KEY,
        site       TEXT NOT NULL,
        issued_ms  INTEGER,
        expires_ms INTEGER NOT NULL,
        revoked_ms INTEGER
    ) STRICT;
    CREATE INDEX IF NOT EXISTS certificate_site ON certificate (site);
    CREATE TABLE IF NOT EXISTS revoked_serial (
        serial TEXT PRIMARY KEY,
        at_ms  INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
";

/// Why the registry cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// SQLite or the disk refuses.
    #[error("the registry {path}: {source}; {}", Advice(source))]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// It cannot be created.
    #[error(
        "the registry {path} cannot be created: {source}; check the disk's space and permissions, then start again"
    )]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// Another layout.
    #[error(
        "the registry {path} has format {found}, this release reads {FORMAT}: use the release that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
}

pub(super) struct Database {
    pool: SqlitePool,
    path: PathBuf,
}

/// A token as it is kept.
pub(super) struct KeptToken {
    pub(super) site: SiteId,
    pub(super) secret_hash: Vec<u8>,
    pub(super) expires: Timestamp,
    pub(super) withdrawn: bool,
    /// The key that has joined with it, and the certificates it was given.
    pub(super) used: Option<(Vec<u8>, String)>,
}

/// A certificate that was just made.
pub(super) struct NewCertificate<'a> {
    pub(super) site: &'a SiteId,
    pub(super) serial: &'a str,
    pub(super) expires: Timestamp,
}

impl Database {
    pub(super) async fn open(path: &Path) -> Result<Self, RegistryError> {
        let _still = still();
        // Made first with the right mode; SQLite gives its other files the same one.
        match create(path, "", Readers::Owner) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(RegistryError::Create { path: path.to_owned(), source: error });
            }
            _ => refuse_exposed(path)?,
        }
        let fail = |source| RegistryError::Database { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(fail)?;
        let row = sqlx::query("PRAGMA user_version").fetch_one(&pool).await.map_err(fail)?;
        match row.try_get(0).map_err(fail)? {
            0 => {
                pool.execute(SCHEMA).await.map_err(fail)?;
            }
            FORMAT => {}
            found => return Err(RegistryError::Format { path: path.to_owned(), found }),
        }
        Ok(Self { pool, path: path.to_owned() })
    }

    /// What was revoked.
    pub(super) async fn standing(&self) -> Result<Standing, RegistryError> {
        let mut standing = Standing::default();
        for row in self.rows(sqlx::query("SELECT serial FROM revoked_serial")).await? {
            standing.revoke_serial(&self.text(&row, 0)?);
        }
        for row in self.rows(sqlx::query("SELECT name FROM site WHERE revoked_ms IS NOT NULL")).await? {
            standing.revoke(&self.site(&row, 0)?);
        }
        let issued =
            "SELECT site, serial FROM certificate WHERE revoked_ms IS NULL AND issued_ms IS NOT NULL";
        for row in self.rows(sqlx::query(issued)).await? {
            standing.issued(&self.site(&row, 0)?, &self.text(&row, 1)?);
        }
        Ok(standing)
    }

    pub(super) async fn invite(
        &self,
        site: &SiteId,
        token: &JoinToken,
        at: Timestamp,
        expires: Timestamp,
    ) -> Result<(), RegistryError> {
        let work = async {
            let mut change = self.pool.begin().await?;
            sqlx::query("INSERT OR IGNORE INTO site (name) VALUES (?)")
                .bind(site.as_str())
                .execute(&mut *change)
                .await?;
            sqlx::query("UPDATE token SET withdrawn_ms = ? WHERE site = ? AND used_ms IS NULL AND withdrawn_ms IS NULL")
                .bind(ms(at))
                .bind(site.as_str())
                .execute(&mut *change)
                .await?;
            sqlx::query(
                "INSERT INTO token (id, site, secret_hash, issued_ms, expires_ms) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(token.id().0.to_vec())
            .bind(site.as_str())
            .bind(token.secret().sha256().to_vec())
            .bind(ms(at))
            .bind(ms(expires))
            .execute(&mut *change)
            .await?;
            change.commit().await
        };
        work.await.map_err(|source| self.database(source))
    }

    pub(super) async fn token(&self, id: TokenId) -> Result<Option<KeptToken>, RegistryError> {
        let query = sqlx::query(
            "SELECT site, secret_hash, expires_ms, withdrawn_ms, public_key, chain FROM token WHERE id = ?",
        )
        .bind(id.0.to_vec());
        let Some(row) = self.rows(query).await?.pop() else { return Ok(None) };
        let read = || -> Result<_, sqlx::Error> {
            let key: Option<Vec<u8>> = row.try_get(4)?;
            let chain: Option<String> = row.try_get(5)?;
            Ok((row.try_get(1)?, row.try_get(2)?, row.try_get::<Option<i64>, _>(3)?, key.zip(chain)))
        };
        let (secret_hash, expires, withdrawn, used) = read().map_err(|source| self.database(source))?;
        Ok(Some(KeptToken {
            site: self.site(&row, 0)?,
            secret_hash,
            expires: at(expires),
            withdrawn: withdrawn.is_some(),
            used,
        }))
    }

    /// Notes that the token was used and the certificate made, both or neither. False where somebody was faster.
    pub(super) async fn join(
        &self,
        id: TokenId,
        public_key: &[u8],
        chain: &str,
        certificate: NewCertificate<'_>,
        at: Timestamp,
    ) -> Result<bool, RegistryError> {
        let work = async {
            let mut change = self.pool.begin().await?;
            let used = sqlx::query(
                "UPDATE token SET used_ms = ?, public_key = ?, chain = ? WHERE id = ? AND used_ms IS NULL \
                 AND withdrawn_ms IS NULL",
            )
            .bind(ms(at))
            .bind(public_key.to_vec())
            .bind(chain)
            .bind(id.0.to_vec())
            .execute(&mut *change)
            .await?;
            if used.rows_affected() != 1 {
                return Ok(false);
            }
            insert(&mut change, &certificate, Some(at)).await?;
            change.commit().await.map(|()| true)
        };
        work.await.map_err(|source| self.database(source))
    }

    /// Notes a renewed certificate.
    pub(super) async fn renewed(
        &self,
        certificate: NewCertificate<'_>,
        at: Timestamp,
    ) -> Result<(), RegistryError> {
        let work = async {
            let mut change = self.pool.begin().await?;
            insert(&mut change, &certificate, Some(at)).await?;
            change.commit().await
        };
        work.await.map_err(|source| self.database(source))
    }

    /// When a certificate was last issued to `site`.
    pub(super) async fn last_issued(&self, site: &SiteId) -> Result<Option<Timestamp>, RegistryError> {
        let query = sqlx::query("SELECT max(issued_ms) FROM certificate WHERE site = ?").bind(site.as_str());
        let rows = self.rows(query).await?;
        let last = rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose();
        Ok(last.map_err(|source| self.database(source))?.flatten().map(at))
    }

    pub(super) async fn revoke(&self, site: &SiteId, at: Timestamp) -> Result<(), RegistryError> {
        let work = async {
            let mut change = self.pool.begin().await?;
            sqlx::query(
                "INSERT INTO site (name, revoked_ms) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET revoked_ms = \
                 excluded.revoked_ms",
            )
            .bind(site.as_str())
            .bind(ms(at))
            .execute(&mut *change)
            .await?;
            for statement in [
                "UPDATE certificate SET revoked_ms = ? WHERE site = ? AND revoked_ms IS NULL",
                "UPDATE token SET withdrawn_ms = ? WHERE site = ? AND withdrawn_ms IS NULL",
            ] {
                sqlx::query(statement).bind(ms(at)).bind(site.as_str()).execute(&mut *change).await?;
            }
            change.commit().await
        };
        work.await.map_err(|source| self.database(source))
    }

    pub(super) async fn revoke_serial(&self, serial: &str, at: Timestamp) -> Result<(), RegistryError> {
        let work = async {
            let mut change = self.pool.begin().await?;
            sqlx::query("INSERT OR IGNORE INTO revoked_serial VALUES (?, ?)")
                .bind(serial)
                .bind(ms(at))
                .execute(&mut *change)
                .await?;
            sqlx::query("UPDATE certificate SET revoked_ms = ? WHERE serial = ? AND revoked_ms IS NULL")
                .bind(ms(at))
                .bind(serial)
                .execute(&mut *change)
                .await?;
            change.commit().await
        };
        work.await.map_err(|source| self.database(source))
    }

    pub(super) async fn saw(
        &self,
        site: &SiteId,
        serial: &str,
        expires: Timestamp,
        software: &str,
        at: Timestamp,
    ) -> Result<(), RegistryError> {
        let _still = still();
        let work = async {
            let mut change = self.pool.begin().await?;
            sqlx::query(
                "INSERT INTO site (name, last_seen_ms, software) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
                 last_seen_ms = excluded.last_seen_ms, software = excluded.software",
            )
            .bind(site.as_str())
            .bind(ms(at))
            .bind(software)
            .execute(&mut *change)
            .await?;
            insert(&mut change, &NewCertificate { site, serial, expires }, None).await?;
            change.commit().await
        };
        work.await.map_err(|source| self.database(source))
    }

    pub(super) async fn sites(&self, now: Timestamp) -> Result<Vec<SiteRecord>, RegistryError> {
        let query = sqlx::query(
            "SELECT name, revoked_ms, last_seen_ms, software, \
             (SELECT max(expires_ms) FROM certificate WHERE site = name AND revoked_ms IS NULL), \
             (SELECT max(expires_ms) FROM token WHERE site = name AND used_ms IS NULL AND withdrawn_ms IS NULL) \
             FROM site ORDER BY name",
        );
        let mut records = Vec::new();
        for row in self.rows(query).await? {
            let number = |index| row.try_get::<Option<i64>, _>(index).map_err(|source| self.database(source));
            let (certificate, token) = (number(4)?.map(at), number(5)?.map(at));
            let state = match (certificate, token, number(1)?) {
                (Some(_), ..) => SiteState::Joined,
                (None, Some(expires), _) if expires > now => SiteState::Invited,
                (None, _, Some(_)) => SiteState::Revoked,
                (None, _, None) => SiteState::Invited,
            };
            records.push(SiteRecord {
                site: self.site(&row, 0)?,
                state,
                token_expires: token,
                certificate_expires: certificate,
                last_seen: number(2)?.map(at),
                software: row.try_get(3).map_err(|source| self.database(source))?,
                connections: 0,
            });
        }
        Ok(records)
    }

    async fn rows(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, RegistryError> {
        let _still = still();
        query.fetch_all(&self.pool).await.map_err(|source| self.database(source))
    }

    fn text(&self, row: &SqliteRow, index: usize) -> Result<String, RegistryError> {
        row.try_get(index).map_err(|source| self.database(source))
    }

    fn site(&self, row: &SqliteRow, index: usize) -> Result<SiteId, RegistryError> {
        let bad = |error: consilium_domain::SiteIdError| self.database(sqlx::Error::Decode(Box::new(error)));
        self.text(row, index)?.parse().map_err(bad)
    }

    fn database(&self, source: sqlx::Error) -> RegistryError {
        RegistryError::Database { path: self.path.clone(), source }
    }
}

/// A certificate that was seen before stays as it was noted.
async fn insert(
    change: &mut sqlx::SqliteConnection,
    certificate: &NewCertificate<'_>,
    issued: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR IGNORE INTO certificate (serial, site, issued_ms, expires_ms) VALUES (?, ?, ?, ?)")
        .bind(certificate.serial)
        .bind(certificate.site.as_str())
        .bind(issued.map(ms))
        .bind(ms(certificate.expires))
        .execute(change)
        .await
        .map(drop)
}

fn ms(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn at(ms: i64) -> Timestamp {
    Timestamp(ms.unsigned_abs())
}
