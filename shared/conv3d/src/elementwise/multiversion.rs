//! One safe body, compiled once for each instruction set.

/// Defines a function that takes an [`InstructionSet`](crate::InstructionSet) first and runs its body
/// compiled for it.
///
/// The body is repeated, not called, so that the closures in it are compiled for the same instructions.
macro_rules! multiversion {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$($lifetime:lifetime),+>)? (
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    ) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments, reason = "the instructions are one more")]
        $visibility fn $name $(<$($lifetime),+>)? (
            instructions: $crate::InstructionSet,
            $($argument: $type),*
        ) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($lifetime),+>)? ($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512 $(<$($lifetime),+>)? ($($argument: $type),*) $(-> $output)? $body

            fn portable $(<$($lifetime),+>)? ($($argument: $type),*) $(-> $output)? $body

            let available = instructions.is_available();
            assert!(available, "this processor has no {instructions:?}: take `InstructionSet::best()`");
            match instructions {
                // SAFETY: the assertion above found the instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: the assertion above found the instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                _ => portable($($argument),*),
            }
        }
    };
}

pub(crate) use multiversion;
