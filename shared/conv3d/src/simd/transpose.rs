//! Sixteen rows turned into columns of sixteen: weights come and go with the output channel outermost, the kernels
//! want it innermost.

use super::Vector;
use crate::block::CHANNELS;

/// Sixteen rows of `columns` floats, and where the columns go.
#[derive(Debug)]
pub(crate) struct Transpose {
    pub(crate) from: *const f32,
    /// Floats from a row to the next.
    pub(crate) from_row: usize,
    pub(crate) columns: usize,
    pub(crate) to: *mut f32,
    /// Column `j` goes to `j % period * inner + j / period * outer`.
    pub(crate) period: usize,
    pub(crate) inner: usize,
    pub(crate) outer: usize,
}

/// # Safety
/// The instruction set is available, and all that `job` describes lies within its buffers, which nobody else touches.
#[inline(always)]
pub(super) unsafe fn transpose<V: Vector>(job: &Transpose) {
    let place = |column: usize| column % job.period * job.inner + column / job.period * job.outer;
    let mut column = 0;
    while column < job.columns {
        // The last tile overlaps the one before it rather than leave a rest.
        let first = if job.columns >= V::LANES { column.min(job.columns - V::LANES) } else { column };
        for row in (0..CHANNELS).step_by(V::LANES) {
            // SAFETY: the caller's promise; the rows are `row..row + LANES` of sixteen.
            unsafe {
                let from = job.from.add(row * job.from_row + first);
                if job.columns >= V::LANES {
                    tile::<V>(from, job.from_row, |lane| job.to.add(place(first + lane) + row));
                } else {
                    for lane in 0..V::LANES {
                        for column in 0..job.columns {
                            *job.to.add(place(column) + row + lane) = *from.add(lane * job.from_row + column);
                        }
                    }
                }
            }
        }
        column = first + V::LANES;
    }
}

/// A square. Each round interleaves row `i` with row `i + LANES / 2`; as many rounds as `LANES` has bits transpose.
///
/// # Safety
/// As for [`transpose`].
#[inline(always)]
unsafe fn tile<V: Vector>(from: *const f32, from_row: usize, to: impl Fn(usize) -> *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [V::zero(); CHANNELS];
        for (lane, row) in rows.iter_mut().enumerate().take(V::LANES) {
            *row = V::load(from.add(lane * from_row));
        }
        let mut round = 1;
        while round < V::LANES {
            let before = rows;
            for i in 0..V::LANES / 2 {
                (rows[2 * i], rows[2 * i + 1]) = V::interleave(before[i], before[i + V::LANES / 2]);
            }
            round *= 2;
        }
        for (lane, row) in rows.iter().enumerate().take(V::LANES) {
            row.store(to(lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstructionSet;

    #[test]
    fn rows_become_columns() {
        for instructions in InstructionSet::available() {
            for columns in [1, 3, 4, 7, 8, 16, 27, 33] {
                let from: Vec<f32> = (0..16 * 40).map(|i| i as f32).collect();
                let (period, inner, outer) = (3, 400, 20);
                let mut to = vec![-1.0; 2 * 400 + 20 * 20];
                let job = Transpose {
                    from: from.as_ptr(),
                    from_row: 40,
                    columns,
                    to: to.as_mut_ptr(),
                    period,
                    inner,
                    outer,
                };
                // SAFETY: 16 rows of 40 floats; the last of 33 columns begins at 2 * 400 + 10 * 20.
                unsafe { super::super::transpose_rows(instructions, &job) };
                let expected = |column: usize, row: usize| (row * 40 + column) as f32;
                for column in 0..columns {
                    for row in 0..16 {
                        let found = to[column % period * inner + column / period * outer + row];
                        assert_eq!(found, expected(column, row), "{instructions:?} {columns}");
                    }
                }
                assert_eq!(to.iter().filter(|&&x| x >= 0.0).count(), 16 * columns);
            }
        }
    }
}
