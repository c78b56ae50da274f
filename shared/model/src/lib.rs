//! MedicalNet and SpotTune on burn.
