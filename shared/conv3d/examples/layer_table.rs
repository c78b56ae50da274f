//! Prints how fast every layer of the networks runs: useful GF/s (taps in the padding do not count) and milliseconds,
//! the best of several runs. Arguments: `[bf16] [avx2|portable] [name]`; threads by `RAYON_NUM_THREADS`.

#[path = "../benches/layers/mod.rs"]
mod layers;

use std::time::Instant;

use consilium_conv3d::{Arithmetic, InstructionSet, Precision};
use layers::{Pass, layers};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let mut arithmetic = Arithmetic::best();
    if has("bf16") {
        arithmetic.precision = Precision::Bf16;
    }
    if has("avx2") {
        arithmetic.instructions = InstructionSet::Avx2;
    }
    if has("portable") {
        arithmetic.instructions = InstructionSet::Portable;
    }
    let options = ["bf16", "avx2", "portable"];
    let name = arguments.iter().find(|argument| !options.contains(&argument.as_str()));
    println!("{arithmetic:?}, {} threads, batch 2", rayon::current_num_threads());
    println!("{:34}{:>8}{:>16}{:>16}{:>16}", "layer", "useful", "forward", "input grad.", "weight grad.");
    for layer in
        layers().into_iter().filter(|layer| name.is_none_or(|name| layer.name.contains(name.as_str())))
    {
        print!("{:34}{:8.2}", layer.name, layer.useful());
        let case = layer.case();
        for pass in Pass::ALL {
            if layer.planar && pass == Pass::InputGradient {
                print!("{:>16}", "-");
                continue;
            }
            let mut best = f64::INFINITY;
            let begin = Instant::now();
            while begin.elapsed().as_secs_f64() < 0.4 {
                let start = Instant::now();
                case.run(arithmetic, pass);
                best = best.min(start.elapsed().as_secs_f64());
            }
            let cell = format!("{:.0} ({:.2} ms)", layer.problem.useful_flops() / best / 1e9, best * 1e3);
            print!("{cell:>16}");
        }
        println!();
    }
}
