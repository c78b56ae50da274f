//! The volumes of a batch by themselves: which have a gradient, and which took which path.

use rayon::prelude::*;

use super::fresh;
use crate::{Block, BlockedShape};

/// Floats that are looked through between two looks at whether another thread has found something.
const SCAN_FLOATS: usize = 4096;

/// Which of `batch` volumes have a gradient that is not zero everywhere. Stops at the first value that is
/// not.
///
/// # Panics
/// When `gradient` is not `batch` rows of one length.
pub fn rows_with_gradient(gradient: &[f32], batch: usize) -> Vec<bool> {
    let floats = gradient.len().checked_div(batch).unwrap_or_default();
    assert_eq!(floats * batch, gradient.len(), "the gradient is not {batch} rows of one length");
    if floats == 0 {
        return vec![false; batch];
    }
    let rows = gradient.chunks(floats);
    rows.map(|row| row.par_chunks(SCAN_FLOATS).any(|part| !is_zero(part))).collect()
}

/// Whether there is nothing but positive and negative zeros. All bits are merged: it is quicker than to stop
/// early.
fn is_zero(values: &[f32]) -> bool {
    values.iter().fold(0, |bits, value| bits | value.to_bits()) << 1 == 0
}

/// The volumes `rows` of `x`, in that order.
///
/// # Shapes
/// `x` is rows of `volume_len` floats, the result `rows.len()` of them.
///
/// # Panics
/// When there is no such row, or rows are not whole voxels.
pub fn gather(x: &[f32], volume_len: usize, rows: &[usize]) -> Vec<Block> {
    let sources: Vec<&[f32]> = rows.iter().map(|row| &x[row * volume_len..][..volume_len]).collect();
    stacked(&sources, volume_len)
}

/// The opposite of [`gather`]: a batch whose volume `rows[i]` is volume `i` of the part that comes with
/// `rows`.
///
/// # Shapes
/// Each part is as many rows of `volume_len` floats as it comes with, the result `batch` of them.
///
/// # Panics
/// When a row of the batch comes from no part or from two, when a part has another length than its rows, or
/// when rows are not whole voxels.
pub fn place(parts: &[(&[f32], &[usize])], volume_len: usize, batch: usize) -> Vec<Block> {
    let mut sources = vec![None; batch];
    for (part, rows) in parts {
        assert_eq!(part.len(), rows.len() * volume_len, "a part does not have the volumes of its rows");
        for (index, row) in rows.iter().enumerate() {
            let earlier = sources[*row].replace(&part[index * volume_len..][..volume_len]);
            assert!(earlier.is_none(), "row {row} comes twice");
        }
    }
    let sources = sources.into_iter().enumerate();
    let sources: Vec<&[f32]> =
        sources.map(|(row, source)| source.unwrap_or_else(|| panic!("row {row} is in no part"))).collect();
    stacked(&sources, volume_len)
}

/// The rows `sources`, copied one after the other.
fn stacked(sources: &[&[f32]], volume_len: usize) -> Vec<Block> {
    let shape = BlockedShape::of_rows(sources.len(), volume_len);
    let row = BlockedShape { batch: 1, ..shape };
    fresh(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs
            .map(|(slab, out)| {
                let start = slab.row * shape.voxels;
                let source = row.voxels_of("row", sources[slab.row]);
                let source = &source[slab.voxels.start - start..slab.voxels.end - start];
                out.copy(source)
            })
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn only_rows_of_zeros_have_no_gradient() {
        let mut gradient = vec![0.0; 5 * 10_000];
        gradient[..10_000].fill(-0.0);
        gradient[19_999] = f32::MIN_POSITIVE / 4.0;
        gradient[30_000] = -1.0;
        gradient[44_444] = f32::NAN;
        assert_eq!(rows_with_gradient(&gradient, 5), [false, true, false, true, true]);
        assert_eq!(rows_with_gradient(&[], 2), [false, false]);
        assert_eq!(rows_with_gradient(&[], 0), [false; 0]);
    }

    #[test]
    fn rows_return_to_their_places() {
        let shape = BlockedShape { batch: 5, channels: 20, voxels: 300 };
        let x = trial::activations(shape, 1);
        let volume = shape.floats() / 5;
        let (first, second) = ([4, 0, 2], [1, 3]);
        let (one, two) = (gather(&x, volume, &first), gather(&x, volume, &second));
        assert_eq!(trial::floats(&one)[..volume], x[4 * volume..]);
        let parts = [(trial::floats(&one), &first[..]), (trial::floats(&two), &second[..])];
        assert_eq!(trial::floats(&place(&parts, volume, 5)), x);
        assert_eq!(gather(&x, volume, &[]), []);
    }

    #[test]
    #[should_panic(expected = "row 1 is in no part")]
    fn a_row_of_no_part_is_refused() {
        place(&[(&[0.0; 32], &[0, 2])], 16, 3);
    }

    #[test]
    #[should_panic(expected = "row 1 comes twice")]
    fn a_row_of_two_parts_is_refused() {
        place(&[(&[0.0; 32], &[0, 1]), (&[0.0; 16], &[1])], 16, 2);
    }
}
