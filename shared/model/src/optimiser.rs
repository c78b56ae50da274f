//! Adam with decoupled weight decay (arXiv:1711.05101), once for each step size.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Gradients;

/// The optimiser of one module.
pub(crate) struct Optimiser {
    adam: ModuleOptimizer,
    learning_rate: f64,
}

impl Optimiser {
    pub(crate) fn new(learning_rate: f64, weight_decay: f64) -> Self {
        let config = AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.999)
            .with_epsilon(1e-8)
            .with_weight_decay(weight_decay as f32);
        Self { adam: config.init(), learning_rate }
    }

    /// Moves the module's parameters against their gradients, which are taken out of `gradients`.
    pub(crate) fn step<M: Module>(&mut self, module: &mut M, gradients: &mut Gradients) {
        let own = GradientsParams::from_module(gradients, module);
        *module = self.adam.step(self.learning_rate, module.clone(), own);
    }
}
