//! Convolution of planar inputs against plain loops, and against the blocked convolution of the same numbers.

mod reference;

use bytemuck::cast_slice;
use consilium_conv3d::{Finish, Geometry, Problem, planar};
use proptest::prelude::*;
use reference::{
    Sum, Unaligned, arithmetics, assert_blocked, assert_close, config, count, numbers, problems, products,
    round,
};

fn check(p: &Problem, rows: &[bool]) {
    let (inside, outside) = (count(p.extents), count(p.output()));
    let input = numbers(p.batch * p.inputs * inside, 1);
    let gradient = numbers(p.batch * p.outputs * outside, 2);
    let kernel = numbers(p.kernel_len(), 3);
    let bias = numbers(p.outputs, 4);
    let blocked = Unaligned::blocked(&gradient, p.batch, p.outputs, outside);
    for a in arithmetics() {
        let rounded = |x: f32| f64::from(round(x, a.precision));
        let mut outputs = vec![Sum::default(); gradient.len()];
        let mut weights = vec![Sum::default(); kernel.len()];
        products(p, |n, co, output, ci, source, tap| {
            let x = rounded(input[(n * p.inputs + ci) * inside + source]);
            let (y, w) =
                ((n * p.outputs + co) * outside + output, (co * p.inputs + ci) * p.geometry.taps() + tap);
            outputs[y].add(x * rounded(kernel[w]));
            if rows[n] {
                weights[w].add(x * rounded(gradient[y]));
            }
        });
        let what = format!("{a:?} {p:?}");
        let (found, moments) = planar::forward_with_moments(a, p, &input, &kernel);
        assert_blocked(cast_slice(&found), &outputs, p.batch, p.outputs, outside, &what);
        assert_eq!((moments.mean.len(), moments.variance.len()), (p.outputs, p.outputs));
        for (i, sum) in outputs.iter_mut().enumerate() {
            sum.add(f64::from(bias[i / outside % p.outputs]));
            sum.value = sum.value.max(0.0);
        }
        let finish = Finish { bias: Some(&bias), residual: None, relu: true };
        let found = planar::forward(a, p, &input, &kernel, finish);
        assert_blocked(cast_slice(&found), &outputs, p.batch, p.outputs, outside, &what);
        let found = planar::weight_gradient(a, p, &input, blocked.floats(), rows);
        for (i, (&found, &expected)) in found.iter().zip(&weights).enumerate() {
            assert_close(found, expected, || format!("weight {i} {what} {rows:?}"));
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn planar_inputs_equal_the_plain_loops(p in problems(3), rows in any::<[bool; 3]>()) {
        check(&p, &rows[..p.batch]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn the_first_layer_of_a_network_equals_the_plain_loops() {
    for extents in [[16, 18, 16], [9, 22, 43]] {
        let p = Problem { batch: 2, inputs: 1, outputs: 40, extents, geometry: Geometry::same(7, 2, 1) };
        check(&p, &[true, true]);
    }
}

/// Strides and kernels as wide as a block of channels, for which blocked inputs have kernels of their own.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn strides_and_kernels_as_wide_as_a_block_equal_the_plain_loops() {
    for (width, stride) in [(16, 1), (5, 16), (3, 32), (16, 16), (8, 16)] {
        let geometry = Geometry { kernel: [1, 1, width], stride: [1, 1, stride], ..Geometry::same(1, 1, 1) };
        check(&Problem { batch: 1, inputs: 1, outputs: 33, extents: [1, 2, 100], geometry }, &[true]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow, and about threads")]
fn results_do_not_depend_on_the_number_of_threads() {
    let p = Problem { batch: 2, inputs: 1, outputs: 64, extents: [20; 3], geometry: Geometry::same(7, 2, 1) };
    let input = numbers(p.batch * count(p.extents), 1);
    let gradient = Unaligned::blocked(&numbers(p.batch * 64 * 1000, 2), p.batch, 64, 1000);
    let kernel = numbers(p.kernel_len(), 3);
    for a in arithmetics() {
        let results = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            pool.install(|| {
                let forward = planar::forward_with_moments(a, &p, &input, &kernel);
                (forward, planar::weight_gradient(a, &p, &input, gradient.floats(), &[true, true]))
            })
        });
        assert!(results[0] == results[1] && results[0] == results[2], "{a:?}");
    }
}
