//! Adam with decoupled weight decay (arXiv:1711.05101), once for each step size.

use std::collections::HashMap;
use std::mem::take;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Gradients, Tensor, TensorData};
use consilium_conv3d::{AdamStep, InstructionSet};

use crate::device::ComputeDevice;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// The optimiser of some modules.
pub(crate) struct Optimiser {
    learning_rate: f64,
    engine: Engine,
}

enum Engine {
    /// One sweep over values, gradient and moments of a parameter.
    Processor(Adam),
    /// Burn's own, on other devices.
    Burn(ModuleOptimizer),
}

/// Adam by the processor's own kernel.
struct Adam {
    instructions: InstructionSet,
    weight_decay: f64,
    moments: HashMap<ParamId, Moments>,
}

/// What Adam remembers of a parameter.
pub(crate) struct Moments {
    pub(crate) steps: u32,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Optimiser {
    /// An optimiser that has seen no gradient.
    pub(crate) fn new(learning_rate: f64, weight_decay: f64, device: &ComputeDevice) -> Self {
        let engine = match device.instructions() {
            Some(instructions) => {
                Engine::Processor(Adam { instructions, weight_decay, moments: HashMap::new() })
            }
            None => {
                let config = AdamWConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2);
                let config = config.with_epsilon(EPSILON).with_weight_decay(weight_decay as f32);
                Engine::Burn(config.init())
            }
        };
        Self { learning_rate, engine }
    }

    /// Moves the module's parameters against their gradients, which are taken out of `gradients`.
    pub(crate) fn step<M: Module>(&mut self, module: &mut M, gradients: &mut Gradients) {
        *module = self.stepped(module.clone(), gradients);
    }

    /// The same for several modules, in place: nothing else may hold their parameters.
    pub(crate) fn step_each<M: Module>(&mut self, modules: &mut Vec<M>, gradients: &mut Gradients) {
        *modules = take(modules).into_iter().map(|module| self.stepped(module, gradients)).collect();
    }

    /// What is remembered of each parameter of `module`, in the module's order; `None` on a graphics card.
    pub(crate) fn remembered<M: Module>(&self, module: &M) -> Option<Vec<Option<&Moments>>> {
        let Engine::Processor(adam) = &self.engine else { return None };
        Some(Parameters::of(module).0.iter().map(|(id, _)| adam.moments.get(id)).collect())
    }

    /// Goes on with what was [remembered](Self::remembered) of a module of the same shape; whether it is one.
    #[must_use]
    pub(crate) fn remember<M: Module>(&mut self, module: &M, moments: Vec<Option<Moments>>) -> bool {
        let Engine::Processor(adam) = &mut self.engine else { return false };
        let parameters = Parameters::of(module).0;
        let fits = |(of, (_, values)): (&Option<Moments>, &(ParamId, usize))| {
            of.as_ref().is_none_or(|of| of.first.len() == *values && of.second.len() == *values)
        };
        if moments.len() != parameters.len() || !moments.iter().zip(&parameters).all(fits) {
            return false;
        }
        let known = parameters.into_iter().zip(moments);
        adam.moments.extend(known.filter_map(|((id, _), moments)| Some((id, moments?))));
        true
    }

    fn stepped<M: Module>(&mut self, module: M, gradients: &mut Gradients) -> M {
        match &mut self.engine {
            Engine::Processor(adam) => {
                module.map(&mut Stepping { adam, gradients, learning_rate: self.learning_rate })
            }
            Engine::Burn(adam) => {
                let own = GradientsParams::from_module(gradients, &module);
                adam.step(self.learning_rate, module, own)
            }
        }
    }
}

/// A step on its way through a module.
struct Stepping<'a> {
    adam: &'a mut Adam,
    gradients: &'a mut Gradients,
    learning_rate: f64,
}

impl ModuleMapper for Stepping<'_> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = parameter.consume();
        let Some(gradient) = value.grad_remove(self.gradients) else {
            return Param::from_mapped_value(id, value, mapper);
        };
        let (device, shape) = (value.device(), value.shape());
        let [mut values, gradient] = [value.inner(), gradient].map(floats);
        let moments = self.adam.moments.entry(id).or_insert_with(|| Moments::new(values.len()));
        moments.steps += 1;
        let step = AdamStep {
            learning_rate: self.learning_rate,
            beta_1: BETA_1,
            beta_2: BETA_2,
            epsilon: EPSILON,
            weight_decay: self.adam.weight_decay as f32,
            step: moments.steps,
        };
        let Moments { first, second, .. } = moments;
        step.apply(self.adam.instructions, &mut values, &gradient, first, second);
        let value = Tensor::from_data(TensorData::new(values, shape), &device).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}

/// Name and number of values of every parameter of a module, in the module's order.
#[derive(Default)]
struct Parameters(Vec<(ParamId, usize)>);

impl Parameters {
    fn of<M: Module>(module: &M) -> Self {
        let mut parameters = Self::default();
        module.visit(&mut parameters);
        parameters
    }
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.0.push((parameter.id, parameter.val().shape().num_elements()));
    }
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { steps: 0, first: vec![0.0; len], second: vec![0.0; len] }
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("networks compute in 32-bit floats")
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};

    use super::*;
    use crate::sample;

    #[test]
    fn the_processors_step_is_burns_step() {
        let [ours, burns] = [ComputeDevice::cpu(), ComputeDevice::reference()].map(|device| {
            let recording = device.recording();
            let weight = Tensor::from_data(TensorData::new(sample::wave(21, 0.7), [7, 3]), &recording);
            let mut module: Linear = LinearConfig::new(7, 3).with_bias(false).init(&recording);
            module.weight = Param::from_tensor(weight);
            let mut optimiser = Optimiser::new(1e-2, 0.1, &device);
            let input = Tensor::<2>::from_data(TensorData::new(sample::wave(14, 1.3), [2, 7]), &recording);
            for _ in 0..5 {
                let loss = module.forward(input.clone()).powi_scalar(2).sum();
                optimiser.step(&mut module, &mut loss.backward());
            }
            module.weight.val().into_data()
        });
        sample::assert_close(&ours, &burns, 1e-6);
    }
}
