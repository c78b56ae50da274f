//! From a hospital's folder to the tensors a network sees.
