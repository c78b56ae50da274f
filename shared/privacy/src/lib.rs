//! The only way an update leaves a hospital.
