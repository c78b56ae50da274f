//! The only classes and functions a checkpoint may name. None is run: each stands for something this crate does.

use super::CheckpointError;
use super::element::Element;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callable {
    /// `collections.OrderedDict`: a dictionary.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a tensor over a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: a tensor that was trained.
    RebuildParameter,
    /// `torch.FloatStorage` and the like: memory of values of one type.
    Storage(Element),
}

impl Callable {
    /// What `module.name`, asked for at `at`, stands for.
    pub(super) fn of(module: &str, name: &str, at: usize) -> Result<Self, CheckpointError> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", class) => Element::of_storage(class).map(Self::Storage),
            _ => None,
        };
        known.ok_or_else(|| CheckpointError::Global { module: shown(module), name: shown(name), at })
    }

    /// Its name in errors.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OrderedDict => "collections.OrderedDict",
            Self::RebuildTensor => "torch._utils._rebuild_tensor_v2",
            Self::RebuildParameter => "torch._utils._rebuild_parameter",
            Self::Storage(_) => "a storage class of torch",
        }
    }
}

/// `text` from a file that is not trusted, fit for a terminal.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_else_is_refused_by_name() {
        for (module, name) in
            [("os", "system"), ("torch", "load"), ("builtins", "eval"), ("torch", "QInt8Storage")]
        {
            let refused = Callable::of(module, name, 3).unwrap_err();
            assert!(refused.to_string().contains(&format!("`{module}.{name}`")), "{refused}");
        }
        assert_eq!(Callable::of("torch", "LongStorage", 0), Ok(Callable::Storage(Element::Int64)));
        let escaped = Callable::of("a\u{1b}[2J", "b", 0).unwrap_err().to_string();
        assert!(!escaped.contains('\u{1b}'), "a terminal would obey");
    }
}
