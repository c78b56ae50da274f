//! Convolution and its gradients against plain loops, for random shapes and every arithmetic of this processor.
//!
//! Outputs and scratch are filled with NaN before use where debug assertions are on, so that an element which is read
//! before it is written, or never written, fails here.

mod reference;

use bytemuck::cast_slice;
use consilium_conv3d::{
    Arithmetic, Finish, Geometry, Problem, forward, forward_with_moments, input_gradient, weight_gradient,
};
use proptest::prelude::*;
use reference::{
    Sum, Unaligned, arithmetics, assert_blocked, assert_close, blocked_index, config, count, numbers,
    problems, products, round,
};

/// Operands, `[batch][channel][voxel]` and `[outputs][inputs][tap]`.
struct Operands {
    input: Vec<f32>,
    gradient: Vec<f32>,
    kernel: Vec<f32>,
}

impl Operands {
    fn new(p: &Problem) -> Self {
        Self {
            input: numbers(p.batch * p.inputs * count(p.extents), 1),
            gradient: numbers(p.batch * p.outputs * count(p.output()), 2),
            kernel: numbers(p.kernel_len(), 3),
        }
    }

    fn blocked_input(&self, p: &Problem) -> Unaligned {
        Unaligned::blocked(&self.input, p.batch, p.inputs, count(p.extents))
    }

    fn blocked_gradient(&self, p: &Problem) -> Unaligned {
        Unaligned::blocked(&self.gradient, p.batch, p.outputs, count(p.output()))
    }

    /// The same numbers as the arithmetic sees them.
    fn rounded(&self, a: Arithmetic) -> Self {
        let all = |numbers: &[f32]| numbers.iter().map(|&x| round(x, a.precision)).collect();
        Self { input: all(&self.input), gradient: all(&self.gradient), kernel: all(&self.kernel) }
    }
}

fn plain_forward(p: &Problem, o: &Operands) -> Vec<Sum> {
    let (inside, outside) = (count(p.extents), count(p.output()));
    let mut sums = vec![Sum::default(); p.batch * p.outputs * outside];
    products(p, |n, co, output, ci, input, tap| {
        let x = o.input[(n * p.inputs + ci) * inside + input];
        let w = o.kernel[(co * p.inputs + ci) * p.geometry.taps() + tap];
        sums[(n * p.outputs + co) * outside + output].add(f64::from(x) * f64::from(w));
    });
    sums
}

/// Input gradient and weight gradient.
fn plain_gradients(p: &Problem, o: &Operands, rows: &[bool]) -> (Vec<Sum>, Vec<Sum>) {
    let (inside, outside) = (count(p.extents), count(p.output()));
    let mut inputs = vec![Sum::default(); o.input.len()];
    let mut weights = vec![Sum::default(); o.kernel.len()];
    products(p, |n, co, output, ci, input, tap| {
        if rows[n] {
            let g = f64::from(o.gradient[(n * p.outputs + co) * outside + output]);
            let (x, w) =
                ((n * p.inputs + ci) * inside + input, (co * p.inputs + ci) * p.geometry.taps() + tap);
            inputs[x].add(g * f64::from(o.kernel[w]));
            weights[w].add(g * f64::from(o.input[x]));
        }
    });
    (inputs, weights)
}

fn check_forward(p: &Problem) {
    let operands = Operands::new(p);
    let input = operands.blocked_input(p);
    let voxels = count(p.output());
    for a in arithmetics() {
        let expected = plain_forward(p, &operands.rounded(a));
        let what = format!("{a:?} {p:?}");
        let found = forward(a, p, input.floats(), &operands.kernel, Finish::default());
        assert_blocked(cast_slice(&found), &expected, p.batch, p.outputs, voxels, &what);
        let (again, moments) = forward_with_moments(a, p, input.floats(), &operands.kernel);
        assert_eq!(again, found, "{what}");
        for channel in 0..p.outputs {
            let of_channel =
                |n: usize| (n * p.outputs + channel) * voxels..(n * p.outputs + channel + 1) * voxels;
            let all: Vec<f64> =
                (0..p.batch).flat_map(|n| &expected[of_channel(n)]).map(|sum| sum.value).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
            let scale = expected.iter().map(|sum| sum.magnitude).fold(0.0, f64::max);
            assert_close(moments.mean[channel], Sum { value: mean, magnitude: scale }, || {
                format!("mean {what}")
            });
            let variance = Sum { value: variance, magnitude: scale * scale };
            assert_close(moments.variance[channel], variance, || format!("variance {what}"));
        }
    }
}

fn check_finishes(p: &Problem) {
    let operands = Operands::new(p);
    let (input, voxels) = (operands.blocked_input(p), count(p.output()));
    let bias = numbers(p.outputs, 4);
    let residual = numbers(p.batch * p.outputs * voxels, 5);
    let blocked = Unaligned::blocked(&residual, p.batch, p.outputs, voxels);
    for a in arithmetics() {
        let plain = plain_forward(p, &operands.rounded(a));
        for choice in 0..8 {
            let finish = Finish {
                bias: (choice & 1 != 0).then_some(&bias[..]),
                residual: (choice & 2 != 0).then_some(blocked.floats()),
                relu: choice & 4 != 0,
            };
            let expected: Vec<Sum> = (0..plain.len())
                .map(|i| {
                    let mut sum = plain[i];
                    sum.add(finish.bias.map_or(0.0, |bias| f64::from(bias[i / voxels % p.outputs])));
                    sum.add(finish.residual.map_or(0.0, |_| f64::from(residual[i])));
                    sum.value = if finish.relu { sum.value.max(0.0) } else { sum.value };
                    sum
                })
                .collect();
            let found = forward(a, p, input.floats(), &operands.kernel, finish);
            let what = format!("finish {choice} {a:?} {p:?}");
            assert_blocked(cast_slice(&found), &expected, p.batch, p.outputs, voxels, &what);
        }
    }
}

fn check_gradients(p: &Problem, rows: &[bool]) {
    let operands = Operands::new(p);
    let input = operands.blocked_input(p);
    // What is not to be read is NaN.
    let mut unread = operands.gradient.clone();
    let volume = unread.len() / p.batch;
    for (n, _) in rows.iter().enumerate().filter(|(_, row)| !**row) {
        unread[n * volume..(n + 1) * volume].fill(f32::NAN);
    }
    let gradient = Unaligned::blocked(&unread, p.batch, p.outputs, count(p.output()));
    for a in arithmetics() {
        let (inputs, weights) = plain_gradients(p, &operands.rounded(a), rows);
        let what = format!("{a:?} {p:?} {rows:?}");
        let found = input_gradient(a, p, gradient.floats(), &operands.kernel, rows);
        assert_blocked(cast_slice(&found), &inputs, p.batch, p.inputs, count(p.extents), &what);
        let found = weight_gradient(a, p, input.floats(), gradient.floats(), rows);
        assert_eq!(found.len(), weights.len());
        for (i, (&found, &expected)) in found.iter().zip(&weights).enumerate() {
            assert_close(found, expected, || format!("weight {i} {what}"));
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn forward_equals_the_plain_loops(p in problems(40)) {
        check_forward(&p);
    }

    #[test]
    fn finishes_equal_the_plain_loops(p in problems(20)) {
        check_finishes(&p);
    }

    #[test]
    fn gradients_equal_the_plain_loops(p in problems(40), rows in any::<[bool; 3]>()) {
        check_gradients(&p, &rows[..p.batch]);
    }
}

/// Shapes that random ones seldom hit: several chunks of input channels, short rows in twos and threes, whole volumes
/// as one row, splits of a weight gradient.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn layers_of_the_networks_equal_the_plain_loops() {
    let shapes = [
        (150, 35, [2, 3, 4], Geometry::same(1, 1, 1)),
        (140, 20, [3, 4, 4], Geometry::same(3, 1, 1)),
        (20, 33, [8, 8, 8], Geometry::same(3, 1, 4)),
        (16, 16, [9, 11, 11], Geometry::same(3, 1, 2)),
        (3, 64, [6, 20, 31], Geometry::same(3, 2, 1)),
        (40, 70, [5, 8, 9], Geometry::same(1, 2, 1)),
        (4, 4, [1, 3, 1100], Geometry::same(1, 1, 1)),
        (2, 5, [1, 2, 1100], Geometry::same(3, 1, 1)),
    ];
    for (inputs, outputs, extents, geometry) in shapes {
        let p = Problem { batch: 2, inputs, outputs, extents, geometry };
        check_forward(&p);
        check_gradients(&p, &[true, true]);
        check_gradients(&p, &[false, true]);
        check_gradients(&p, &[false, false]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow, and about threads")]
fn results_do_not_depend_on_the_number_of_threads() {
    for (inputs, outputs, extents, geometry) in [
        (32, 48, [12, 16, 16], Geometry::same(3, 1, 1)),
        (64, 64, [8, 8, 8], Geometry::same(3, 2, 1)),
        (16, 16, [10, 16, 16], Geometry::same(1, 1, 1)),
    ] {
        let p = Problem { batch: 2, inputs, outputs, extents, geometry };
        let o = Operands::new(&p);
        let (input, gradient) = (o.blocked_input(&p), o.blocked_gradient(&p));
        let (x, g) = (input.floats(), gradient.floats());
        for a in arithmetics() {
            let results: Vec<_> = [1, 2, 3]
                .iter()
                .map(|&threads| {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
                    pool.install(|| {
                        (
                            forward_with_moments(a, &p, x, &o.kernel),
                            input_gradient(a, &p, g, &o.kernel, &[true, true]),
                            weight_gradient(a, &p, x, g, &[true, true]),
                        )
                    })
                })
                .collect();
            assert!(results[0] == results[1] && results[0] == results[2], "{a:?} {p:?}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn a_row_without_gradient_leaves_the_others_as_they_are() {
    let p =
        Problem { batch: 3, inputs: 17, outputs: 5, extents: [4, 5, 6], geometry: Geometry::same(3, 1, 1) };
    let o = Operands::new(&p);
    let gradient = o.blocked_gradient(&p);
    for a in arithmetics() {
        let all = input_gradient(a, &p, gradient.floats(), &o.kernel, &[true; 3]);
        let some = input_gradient(a, &p, gradient.floats(), &o.kernel, &[true, false, true]);
        let volume = blocked_index(p.inputs, count(p.extents), 1, 0, 0) / 16;
        assert_eq!(all[..volume], some[..volume]);
        assert_eq!(all[2 * volume..], some[2 * volume..]);
        assert!(cast_slice::<_, f32>(&some[volume..2 * volume]).iter().all(|&x| x == 0.0));
    }
}

#[test]
#[should_panic(expected = "the kernel has 3 floats")]
fn a_kernel_of_the_wrong_size_is_refused() {
    let p =
        Problem { batch: 1, inputs: 1, outputs: 1, extents: [1, 1, 1], geometry: Geometry::same(1, 1, 1) };
    forward(Arithmetic::best(), &p, &[0.0; 16], &[0.0; 3], Finish::default());
}
