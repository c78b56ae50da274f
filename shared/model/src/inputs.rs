//! Volumes by number, read when they are needed: a cohort need not fit into memory.

/// Why a volume could not be read: what, where and how to mend it, in one text.
///
/// It may name a file, so it is for the site's own eyes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// Single-channel volumes of one shape. Several threads read at a time.
pub trait Inputs: Sync {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Depth, height and width of every volume, in voxels.
    fn shape(&self) -> [usize; 3];

    /// Writes volume `index`, width fastest. `out` has the voxels of [`shape`](Self::shape).
    ///
    /// # Errors
    /// When the volume is not to be had.
    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError>;
}

/// Volumes that are in memory.
#[derive(Debug, Clone, Copy)]
pub struct InMemory<'a> {
    /// One slice a volume, width fastest.
    pub volumes: &'a [&'a [f32]],
    /// Depth, height and width of every volume, in voxels.
    pub shape: [usize; 3],
}

impl Inputs for InMemory<'_> {
    fn len(&self) -> usize {
        self.volumes.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        let volume = self.volumes[index];
        if volume.len() != out.len() {
            let (found, needed) = (volume.len(), out.len());
            return Err(InputError(format!(
                "{found} voxels where the shape {:?} needs {needed}: preprocess it again",
                self.shape
            )));
        }
        out.copy_from_slice(volume);
        Ok(())
    }
}
