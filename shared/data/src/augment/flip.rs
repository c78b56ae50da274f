//! Mirroring: it maps a head to a plausible head without interpolation.

use consilium_domain::Flip;

/// Mirrors an array of `shape` (z, y, x; x fastest) in place along each of `axes`.
///
/// # Panics
/// Where `values` does not have the shape's size.
pub fn flip(values: &mut [f32], shape: [usize; 3], axes: &[Flip]) {
    let [depth, height, width] = shape;
    assert_eq!(values.len(), depth * height * width, "the shape must fit the values");
    for axis in axes {
        // Mirroring an axis reverses, in every block, the order of pieces that each span the inner axes.
        let (length, inner) = match axis {
            Flip::Depth => (depth, height * width),
            Flip::Height => (height, width),
            Flip::Width => (width, 1),
        };
        for block in values.chunks_exact_mut(length * inner) {
            reverse_pieces(block, inner);
        }
    }
}

fn reverse_pieces(block: &mut [f32], inner: usize) {
    let mut rest = block;
    while rest.len() >= 2 * inner {
        let (first, others) = rest.split_at_mut(inner);
        let (middle, last) = others.split_at_mut(others.len() - inner);
        first.swap_with_slice(last);
        rest = middle;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_axis_reverses_its_own_index() {
        let shape = [2, 3, 4];
        let original: Vec<f32> = (0..24u8).map(f32::from).collect();
        let at = |z: usize, y: usize, x: usize| original[(z * 3 + y) * 4 + x];
        type Mirror = fn(usize, usize, usize) -> (usize, usize, usize);
        let mirrors: [(Flip, Mirror); 3] = [
            (Flip::Depth, |z, y, x| (1 - z, y, x)),
            (Flip::Height, |z, y, x| (z, 2 - y, x)),
            (Flip::Width, |z, y, x| (z, y, 3 - x)),
        ];
        for (axis, mirror) in mirrors {
            let mut values = original.clone();
            flip(&mut values, shape, &[axis]);
            for (i, value) in values.iter().enumerate() {
                let (z, y, x) = mirror(i / 12, i / 4 % 3, i % 4);
                assert_eq!(*value, at(z, y, x), "{axis:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn mirroring_twice_is_nothing(z in 1usize..5, y in 1usize..5, x in 1usize..5, axis in 0usize..3) {
            let axis = [Flip::Depth, Flip::Height, Flip::Width][axis];
            let original: Vec<f32> = (0..z * y * x).map(|i| i as f32).collect();
            let mut values = original.clone();
            flip(&mut values, [z, y, x], &[axis, axis]);
            prop_assert_eq!(values, original);
        }
    }
}
