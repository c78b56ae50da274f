//! A daemon's log as the daemon begins: opened, tried out, and with a line that says so.

use std::path::Path;
use std::sync::Arc;

use consilium_signing::{Authorities, Sign, SignatureError};

use crate::command::AUDIT_FOLDER;
use crate::log::{AppendError, AuditLog, OpenError};
use crate::record::{CertificateChange, Record};
use crate::witness::{Witness, WitnessError};
use crate::words::{Code, Serial};

/// The authority in the identity folder.
const AUTHORITY_FILE: &str = "ca.pem";

/// Why a daemon cannot write down what happens: then nothing may leave or happen.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The consortium's certificate cannot be read.
    #[error(transparent)]
    Authority(#[from] SignatureError),
    /// The daemon's key cannot sign receipts.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A thread that wrote ended abnormally.
    #[error(
        "the audit log was not written: a thread ended abnormally; see the program's log, and start it again"
    )]
    Thread,
}

/// Opens the log in the state folder `state` for the daemon of release `release`, which signs as `signer` with the
/// certificate `serial`. The authority lies in `identity_folder`.
///
/// The certificate has a line of its own where the log does not tell of it yet: the site has joined with it since, or it
/// was put there by hand.
///
/// # Errors
/// When the log cannot be opened or written, or heads could not be signed later.
pub fn begin(
    state: &Path,
    identity_folder: &Path,
    signer: &Arc<dyn Sign>,
    serial: Serial,
    release: Code,
) -> Result<(AuditLog, Authorities), AuditError> {
    let log = AuditLog::open(&state.join(AUDIT_FOLDER), signer.role())?;
    let authorities = Authorities::read(&identity_folder.join(AUTHORITY_FILE))?;
    // Found out now and not when the first receipt is due.
    Witness::new(log.clone(), authorities.clone(), signer.clone(), signer.role().clone()).try_out()?;
    let mut records = vec![Record::ProcessStarted { release }];
    if !log.tells_of(&serial) {
        let (holder, serial) = (Some(signer.role().clone().into()), Some(serial));
        records.push(Record::Certificate { holder, serial, change: CertificateChange::TakenUp });
    }
    log.append_all(&records)?;
    Ok((log, authorities))
}
