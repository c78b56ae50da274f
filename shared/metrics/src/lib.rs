//! Statistics of a classifier from summed histograms.
