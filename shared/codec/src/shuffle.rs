//! From numbers to planes and back: byte k of every number, then byte k + 1.

/// Appends the `N` planes of `words` to nothing: `planes` becomes `N` runs of `words.len()` bytes.
pub(crate) fn split<const N: usize>(words: impl ExactSizeIterator<Item = [u8; N]>, planes: &mut Vec<u8>) {
    let length = words.len();
    planes.resize(N * length, 0);
    if length == 0 {
        return;
    }
    let mut runs: Vec<&mut [u8]> = planes.chunks_exact_mut(length).collect();
    let runs: &mut [&mut [u8]; N] = runs.as_mut_slice().try_into().expect("N runs of equal length");
    for (place, word) in words.enumerate() {
        for (run, byte) in runs.iter_mut().zip(word) {
            run[place] = byte;
        }
    }
}

/// The words whose planes are `planes`.
pub(crate) fn join<const N: usize>(planes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> {
    let length = planes.len() / N;
    let runs: [&[u8]; N] = std::array::from_fn(|k| &planes[k * length..][..length]);
    (0..length).map(move |place| runs.map(|run| run[place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_one_significance_stand_together() {
        let mut planes = vec![9; 3];
        split([[1, 2, 3], [4, 5, 6]].into_iter(), &mut planes);
        assert_eq!(planes, [1, 4, 2, 5, 3, 6]);
        assert_eq!(join::<3>(&planes).collect::<Vec<_>>(), [[1, 2, 3], [4, 5, 6]]);
        split(std::iter::empty::<[u8; 4]>(), &mut planes);
        assert!(planes.is_empty() && join::<4>(&planes).len() == 0);
    }
}
