//! Blobs on the way: every transfer runs beside the session and tells it what came of it.
//!
//! What passes is waited for here, and nobody hears of it: a stream that ended early, a stall, a coordinator whose disk is
//! full or whose hands are. Each try goes on where the last one broke off. A lost connection ends a transfer without a
//! word: the participant asks for it again on the next one.

use std::time::Duration;

use consilium_domain::{BlobRef, OrderId, SiteId};
use consilium_protocol::participant::Input;
use consilium_transport::{
    BlobStore, Carriage, Connection, OpeningHours, StoreError, TransferError, Transferred,
};
use consilium_weights::Weights;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::connection::Pauses;
use crate::deltas::Recipe;

/// Tries in a row of which none moved anything: with pauses up to half a minute, some minutes in all.
const MOST_TRIES: u32 = 12;

/// Tries that do move something are free until so many times the blob has moved: whoever takes chunks and keeps none must
/// not keep a site busy for ever.
const MOST_TIMES_MOVED: u64 = 3;

/// What came of a transfer.
pub(crate) struct Ended {
    /// What the participant is told.
    pub(crate) input: Input,
    /// What really came over the network: not what was there already.
    pub(crate) arrived: Vec<BlobRef>,
    /// The model, where it was made here.
    pub(crate) made: Option<(BlobRef, Weights)>,
}

/// Starts transfers between the site's stores and the coordinator.
pub(crate) struct Transfers {
    site: SiteId,
    /// Where models come to.
    models: BlobStore,
    /// Where sealed updates wait.
    updates: BlobStore,
    carriage: Carriage,
    /// When updates may leave, as the policy says.
    hours: Option<OpeningHours>,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Transfers {
    /// Transfers of `site` into `models` and from `updates` by `carriage`, where no chunk leaves outside `hours`; what came
    /// of them arrives at the receiver.
    pub(crate) fn new(
        site: SiteId,
        models: BlobStore,
        updates: BlobStore,
        carriage: Carriage,
        hours: Option<OpeningHours>,
    ) -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (ended, inputs) = mpsc::unbounded_channel();
        (Self { site, models, updates, carriage, hours, ended }, inputs)
    }

    /// Whether the coordinator, as it said of itself, takes up uploads that broke off.
    pub(crate) fn coordinator_resumes(&mut self, resumes: bool) {
        self.carriage = self.carriage.to(resumes);
    }

    /// Brings `blob` here; by what `recipe` makes it of, where that is a shorter way.
    pub(crate) fn fetch(&self, blob: BlobRef, recipe: Option<Recipe>, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.models.clone(), self.ended.clone());
        let (site, carriage) = (self.site.clone(), self.carriage.clone());
        let span = tracing::debug_span!("fetch", digest = blob.digest.short(), bytes = blob.bytes);
        let fetch = async move {
            let fetching =
                Fetching { connection: &connection, store: &store, site: &site, carriage: &carriage };
            let (mut arrived, mut made) = (Vec::new(), None);
            let input = match fetching.bring(blob, recipe, &mut arrived).await {
                Ok(weights) => {
                    made = weights.map(|weights| (blob, weights));
                    Input::Fetched(blob)
                }
                // A lost connection is not the blob's fault: it is asked for again on the next one.
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::FetchFailed { blob, reason: told(&error) },
            };
            let _ = ended.send(Ended { input, arrived, made });
        };
        tokio::spawn(fetch.instrument(span));
    }

    /// Sends the blob of an answer.
    pub(crate) fn upload(&self, order: OrderId, blob: BlobRef, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.updates.clone(), self.ended.clone());
        let mut tries = Tries::of(blob, &self.site, &self.outwards(), self.carriage.resumes());
        let span = tracing::debug_span!("upload", digest = blob.digest.short(), bytes = blob.bytes);
        let upload = async move {
            let carriage = tries.carriage.clone();
            let once = || connection.upload_by(&carriage, blob, &store);
            let input = match tries.until_settled(once, || connection.closed()).await {
                Ok(how) => {
                    let moved = if how == Transferred::Moved { carriage.moved() } else { 0 };
                    tracing::info!(%order, bytes = blob.bytes, moved, "the update is with the coordinator");
                    Input::Uploaded(order)
                }
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::UploadFailed { order, reason: told(&error) },
            };
            let _ = ended.send(Ended { input, arrived: Vec::new(), made: None });
        };
        tokio::spawn(upload.instrument(span));
    }

    /// How updates leave.
    fn outwards(&self) -> Carriage {
        self.hours.clone().map_or_else(|| self.carriage.clone(), |hours| self.carriage.within(hours))
    }
}

/// What a fetch needs.
struct Fetching<'a> {
    connection: &'a Connection,
    store: &'a BlobStore,
    site: &'a SiteId,
    carriage: &'a Carriage,
}

impl Fetching<'_> {
    /// Brings `blob`, by the shorter way if there is one: then its weights are at hand. What came over the network is told
    /// in `arrived`.
    async fn bring(
        &self,
        blob: BlobRef,
        recipe: Option<Recipe>,
        arrived: &mut Vec<BlobRef>,
    ) -> Result<Option<Weights>, TransferError> {
        if let Some(recipe) = recipe
            && let Some(delta) = recipe.missing(self.store).await
        {
            let fetched = self.fetch(delta, "a delta is here", arrived).await;
            match fetched {
                Ok(()) => match recipe.make(self.store).await {
                    Ok(weights) => return Ok(Some(weights)),
                    Err(error) => tracing::warn!(%error, "the whole model is fetched"),
                },
                Err(error) if self.connection.close_reason().is_some() => return Err(error),
                Err(error) => tracing::warn!(%error, "the whole model is fetched"),
            }
        }
        self.fetch(blob, "a model is here", arrived).await?;
        Ok(None)
    }

    async fn fetch(
        &self,
        blob: BlobRef,
        here: &str,
        arrived: &mut Vec<BlobRef>,
    ) -> Result<(), TransferError> {
        // What has come stays here, whatever the coordinator can do.
        let mut tries = Tries::of(blob, self.site, self.carriage, true);
        let carriage = tries.carriage.clone();
        let once = || self.connection.fetch_by(&carriage, blob, self.store);
        if tries.until_settled(once, || self.connection.closed()).await? == Transferred::Moved {
            tracing::info!(bytes = blob.bytes, moved = carriage.moved(), "{here}");
            arrived.push(blob);
        }
        Ok(())
    }
}

/// The tries to move one blob.
struct Tries {
    blob: BlobRef,
    carriage: Carriage,
    /// Whether a try goes on where the last one broke off.
    keeps: bool,
    pauses: Pauses,
    left: u32,
    /// What had moved when a try was last counted.
    seen: u64,
}

impl Tries {
    /// None so far. They count what they move for themselves.
    fn of(blob: BlobRef, site: &SiteId, carriage: &Carriage, keeps: bool) -> Self {
        let carriage = carriage.to(carriage.resumes());
        Self { blob, carriage, keeps, pauses: Pauses::new(site), left: MOST_TRIES, seen: 0 }
    }

    /// Tries until it went well, or did not in a way that lasts, or the connection has `ended`, or was tried enough.
    async fn until_settled<T, E>(
        &mut self,
        mut once: impl FnMut() -> T,
        mut ended: impl FnMut() -> E,
    ) -> Result<Transferred, TransferError>
    where
        T: Future<Output = Result<Transferred, TransferError>>,
        E: Future,
    {
        loop {
            let error = match once().await {
                Ok(how) => return Ok(how),
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => error,
            };
            let Some(pause) = self.next_pause() else { return Err(error) };
            tracing::warn!(%error, ?pause, "a transfer broke off; trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = ended() => return Err(error),
            }
        }
    }

    /// How long to wait before the next try; none where it was tried enough.
    fn next_pause(&mut self) -> Option<Duration> {
        let moved = self.carriage.moved();
        if self.keeps && moved > self.seen && moved < MOST_TIMES_MOVED * self.blob.bytes {
            (self.seen, self.left) = (moved, MOST_TRIES);
            self.pauses.reset();
        }
        self.left = self.left.checked_sub(1).filter(|left| *left > 0)?;
        Some(self.pauses.next())
    }
}

/// What the coordinator may hear of a failed transfer: an error of our disk names folders of the hospital, so that
/// one stays in our log.
fn told(error: &TransferError) -> String {
    tracing::error!(%error, "a transfer failed");
    match error {
        TransferError::Store(StoreError::Io { .. }) => {
            "the site's disk refuses it; see the site's log".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use consilium_domain::Digest;
    use consilium_transport::Refusal;
    use tokio::time::Instant;

    use super::*;

    fn tries() -> Tries {
        Tries::of(BlobRef::of(b"x"), &"a".parse().unwrap(), &Carriage::default(), true)
    }

    fn refused(refusal: Refusal) -> TransferError {
        TransferError::Refused { digest: Digest::of(b"x"), refusal }
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_nobody_hears_of_it() {
        let tried = Cell::new(0);
        let once = async || {
            tried.set(tried.get() + 1);
            match tried.get() {
                1 => Err(refused(Refusal::NotOffered)),
                2 => Err(TransferError::Cut { digest: Digest::of(b"x") }),
                3 => Err(refused(Refusal::TooManyUploads)),
                4 => Err(refused(Refusal::Disk)),
                _ => Ok(Transferred::Moved),
            }
        };
        assert_eq!(tries().until_settled(once, pending::<()>).await.unwrap(), Transferred::Moved);
        assert_eq!(tried.get(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_at_once_and_what_does_not_pass_after_some_minutes() {
        let tried = Cell::new(0);
        let refuse = |refusal| {
            tried.set(tried.get() + 1);
            async move { Err(refused(refusal)) }
        };
        let began = Instant::now();
        let lasting = tries().until_settled(|| refuse(Refusal::NotAllowed), pending::<()>).await;
        assert!(matches!(lasting, Err(TransferError::Refused { refusal: Refusal::NotAllowed, .. })));
        assert_eq!((tried.replace(0), began.elapsed()), (1, Duration::ZERO));
        let never = tries().until_settled(|| refuse(Refusal::Disk), pending::<()>).await;
        assert!(matches!(never, Err(TransferError::Refused { refusal: Refusal::Disk, .. })));
        assert_eq!(tried.get(), MOST_TRIES);
        assert!(began.elapsed() < Duration::from_secs(6 * 60), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_ends_the_wait() {
        let once = async || Err(refused(Refusal::Disk));
        let ended = || tokio::time::sleep(Duration::ZERO);
        let began = Instant::now();
        assert!(tries().until_settled(once, ended).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn no_folder_of_the_hospital_is_told() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let path = "/hospital/ward-7/state".into();
        let disk = TransferError::Store(StoreError::Io { action: "write", path, source });
        assert!(disk.to_string().contains("ward-7"));
        assert!(!told(&disk).contains('/'), "{}", told(&disk));
        let absent = TransferError::Store(StoreError::Absent(Digest::of(b"x")));
        assert_eq!(told(&absent), absent.to_string());
    }
}
