//! What left and what entered: an append-only log of hash-chained lines, countersigned by the other side.
//!
//! ```text
//! AuditLog::append(Record)  --one line, synced-->  audit/log.jsonl
//!        Witness            --heads, signed and countersigned-->  receipts in both logs
//! Inspection::of(file)      --every line and signature again-->   Verdict
//! ```
//!
//! A record is durable before what it tells of happens. Its fields are numbers, digests, names of sites and words of
//! this program ([`Code`]): nothing that a hospital typed or a scan is called can be written here. The format is
//! told in `docs/audit.md`. It deliberately has no network and no runtime: the daemons exchange the heads, and
//! keep the waiting for the disk off their runtime's threads.

mod chain;
pub mod command;
mod content;
mod export;
mod finding;
mod inspection;
mod ledger;
mod line;
mod log;
mod messages;
mod moment;
mod opening;
mod record;
mod statement;
mod torn;
mod vouched;
mod witness;
mod words;

pub use content::{Content, TensorSummary, Work};
pub use export::{ExportError, Extract};
pub use finding::{Finding, Verdict};
pub use inspection::{Inspection, InspectionError};
pub use ledger::{Ledger, Left, Tally};
pub use log::{AppendError, AuditLog, LOG_FILE, OpenError};
pub use messages::admin_command;
pub use opening::{AuditError, begin};
pub use record::{CertificateChange, Decider, PeerLog, PolicyVerdict, Record, StudyStep};
pub use witness::{Witness, WitnessError};
pub use words::{Base64, Code, NotACode, NotASerial, Party, Serial};
