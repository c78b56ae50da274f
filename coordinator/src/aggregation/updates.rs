//! The updates of all sites, read side by side: every wave holds the same coordinates of each.

use std::io::Read as _;

use consilium_codec::{BLOCK_VALUES, Unpacker};
use consilium_domain::{BlobRef, SiteId, Wire};
use consilium_privacy::{Block, Grid, PayloadError, ReadError, UpdateReader};
use consilium_protocol::coordinator::Contribution;
use consilium_transport::{BlobReader, BlobStore, StoreError};
use rayon::prelude::*;

use super::AggregationError;

/// Bytes of updates in a wave, were they plain. Two waves are in memory, one being summed and one being read: enough
/// that threads rarely wait for each other, little beside any model.
const WAVE_BYTES: usize = 32 << 20;

/// Why an update that has just come is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableUpdate {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads and decodes the whole update, with one block in memory, before it may count: a sum must never meet a bad
/// one. What the site says that rounding took from it.
pub(crate) fn check_update(
    store: &BlobStore,
    update: &BlobRef,
    wire: Wire,
    coordinates: usize,
    grid: Grid,
) -> Result<f64, UnusableUpdate> {
    let mut reader = UpdateReader::open(store.reader(update)?, wire, coordinates, grid)?;
    let relative_error = reader.relative_error();
    let (mut bytes, mut unpacker) = (Vec::new(), Unpacker::new());
    let mut units = vec![0; BLOCK_VALUES.min(coordinates)];
    while let Some(block) = reader.next_block(&mut bytes)? {
        block.decode(&bytes, &mut unpacker, &mut units[..block.values()]).map_err(ReadError::from)?;
        bytes.clear();
    }
    reader.end()?.verify()?;
    Ok(relative_error)
}

/// Every contribution, as far as it was read.
pub(super) struct Updates<'a> {
    store: &'a BlobStore,
    sites: Vec<Opened<'a>>,
    blocks_a_wave: usize,
}

struct Opened<'a> {
    contribution: &'a Contribution,
    reader: UpdateReader<BlobReader>,
}

/// The next blocks of every site.
#[derive(Default)]
pub(super) struct Wave<'a> {
    /// Number of the first block.
    pub(super) first: usize,
    pub(super) parts: Vec<Part<'a>>,
}

/// One site's blocks of a wave.
pub(super) struct Part<'a> {
    pub(super) contribution: &'a Contribution,
    pub(super) blocks: Vec<Block>,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Updates<'a> {
    pub(super) fn open(
        contributions: &'a [Contribution],
        wire: Wire,
        coordinates: usize,
        grid: Grid,
        store: &'a BlobStore,
    ) -> Result<Self, AggregationError> {
        let open = |contribution: &'a Contribution| {
            let reader = UpdateReader::open(store.reader(&contribution.update)?, wire, coordinates, grid)
                .map_err(|error| or_damaged(error, contribution, store))?;
            Ok::<_, AggregationError>(Opened { contribution, reader })
        };
        let sites = contributions.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let block_bytes = BLOCK_VALUES * size_of::<i32>() * sites.len().max(1);
        Ok(Self { store, sites, blocks_a_wave: (WAVE_BYTES / block_bytes).max(1) })
    }

    /// Puts the blocks after those of the wave before into `wave`, in the memory it has; none after the last.
    pub(super) fn read(&mut self, wave: &mut Wave<'a>) -> Result<(), AggregationError> {
        let most = self.blocks_a_wave;
        let store = self.store;
        wave.first = self.sites.first().map_or(0, |site| site.reader.next_number());
        if wave.parts.is_empty() {
            let part = |site: &Opened<'a>| Part::of(site.contribution);
            wave.parts = self.sites.iter().map(part).collect();
        }
        self.sites.par_iter_mut().zip(&mut wave.parts).try_for_each(|(site, part)| {
            part.bytes.clear();
            part.blocks.clear();
            while part.blocks.len() < most {
                match site.reader.next_block(&mut part.bytes) {
                    Ok(Some(block)) => part.blocks.push(block),
                    Ok(None) => break,
                    Err(error) => return Err(or_damaged(error, site.contribution, store)),
                }
            }
            Ok(())
        })
    }

    /// A block that cannot be decoded is a bad update only if the file is still the one that was sent.
    pub(super) fn or_damaged(&self, error: AggregationError) -> AggregationError {
        match error {
            AggregationError::Payload { site, source } => {
                match self.sites.iter().find(|opened| opened.contribution.site == site) {
                    Some(opened) => or_damaged(source.into(), opened.contribution, self.store),
                    None => AggregationError::Payload { site, source },
                }
            }
            other => other,
        }
    }

    /// All of every update was read, and was what its digest says.
    pub(super) fn verify(self) -> Result<(), AggregationError> {
        let store = self.store;
        self.sites.into_par_iter().try_for_each(|Opened { contribution, reader }| {
            let file = reader.end().map_err(|error| or_damaged(error, contribution, store))?;
            Ok(file.verify()?)
        })
    }
}

impl<'a> Part<'a> {
    const fn of(contribution: &'a Contribution) -> Self {
        Self { contribution, blocks: Vec::new(), bytes: Vec::new() }
    }
}

impl Wave<'_> {
    /// Blocks that every part has.
    pub(super) fn blocks(&self) -> usize {
        self.parts.first().map_or(0, |part| part.blocks.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks() == 0
    }
}

fn or_damaged(error: ReadError, contribution: &Contribution, store: &BlobStore) -> AggregationError {
    let site: SiteId = contribution.site.clone();
    let payload = |source: PayloadError| {
        let undamaged = store.reader(&contribution.update).and_then(BlobReader::verify);
        undamaged.map_or_else(AggregationError::from, |()| AggregationError::Payload {
            site: site.clone(),
            source,
        })
    };
    match error {
        ReadError::Payload(source) => payload(source),
        ReadError::Io(source) => AggregationError::Read { site, source },
    }
}

/// Reads what is left of a blob: for what is small, or must be looked at as a whole.
pub(super) fn read_whole(store: &BlobStore, blob: &BlobRef) -> Result<Vec<u8>, AggregationError> {
    let mut reader = store.reader(blob)?;
    let mut content = Vec::new();
    let read = reader.read_to_end(&mut content);
    read.map_err(|source| StoreError::Io { action: "read", path: blob.digest.to_string().into(), source })?;
    reader.verify()?;
    Ok(content)
}
